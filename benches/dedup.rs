//! Dedup alone: rows per second and bytes per fragment, on made signatures.
//!
//! `cargo bench --bench dedup [-- FRAGMENTS]`: 10 % exact copies, 20 % near copies (each lane redrawn with 8 %), one band that
//! 5,000 fragments share; 16 bands of 5 lanes, a sketch of 512 lanes: the shape that `sign` has by default. Each run has a process of its own, for its peak.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

#[path = "fragments/mod.rs"]
mod fragments;

use fragments::{BANDS, fragment, memory};
use isogloss::model::Epoch;
use isogloss::stage::dedup::{DedupSettings, dedup};
use isogloss::telemetry::cpu::cpu_seconds;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
use timely::dataflow::ProbeHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static KEPT: AtomicI64 = AtomicI64::new(0);
static DROPPED: AtomicI64 = AtomicI64::new(0);

fn main() {
    isogloss::telemetry::memory::small_pages();
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    if let [fragments, workers, 1] = numbers[..] {
        run(fragments, usize::try_from(workers).expect("a few workers"));
        return;
    }
    let fragments = numbers.first().copied().unwrap_or(1_000_000).to_string();
    let this = std::env::current_exe().expect("a program knows its path");
    for workers in ["1", "2"] {
        let ended =
            Command::new(&this).args([&fragments, workers, "1"]).status().expect("the bench starts again");
        assert!(ended.success(), "run with {workers} workers failed");
    }
}

fn run(fragments: u64, workers: usize) {
    let start = Instant::now();
    let made =
        (0..fragments.min(100_000)).map(|i| fragment(i, fragments).signature.bands.len()).sum::<usize>();
    let making = start.elapsed().as_secs_f64() * fragments as f64 / (made / BANDS) as f64 / workers as f64;
    let before = memory("VmRSS");
    let made_cpu = cpu_seconds().unwrap_or(0.0) / fragments.min(100_000) as f64 * fragments as f64;
    let cpu_before = cpu_seconds().unwrap_or(0.0);
    let start = Instant::now();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        use differential_dataflow::input::Input;
        let probe = ProbeHandle::new();
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, rows) = scope.new_collection();
            let verdicts = dedup(rows, &DedupSettings::default());
            let count = |to: &'static AtomicI64, diff: isize| {
                to.fetch_add(i64::try_from(diff).expect("a small count"), Ordering::Relaxed)
            };
            verdicts.kept.inspect(move |update| _ = count(&KEPT, update.2)).probe_with(&probe);
            verdicts.dropped.inspect(move |update| _ = count(&DROPPED, update.2)).probe_with(&probe);
            input
        });
        let (index, peers) = (worker.index() as u64, worker.peers() as u64);
        for i in (0..fragments).filter(|i| i % peers == index) {
            input.insert(fragment(i, fragments));
            if (i / peers) % 512 == 511 {
                input.flush();
                worker.step();
            }
        }
        let fed = start.elapsed().as_secs_f64();
        input.advance_to(1);
        input.flush();
        while probe.less_than(&1) {
            worker.step_or_park(None);
        }
        // One row more in the next epoch: what a small delta costs on top of all this.
        let delta = Instant::now();
        if index == 0 {
            input.remove(fragment(3, fragments));
        }
        input.advance_to(2);
        input.flush();
        while probe.less_than(&2) {
            worker.step_or_park(None);
        }
        (fed, delta.elapsed().as_secs_f64(), memory("VmRSS"))
    })
    .expect("workers start");
    let (fed, delta, resting) = guards.join().remove(0).expect("no worker panics");
    let total = start.elapsed().as_secs_f64() - delta;
    let peak = memory("VmHWM");
    let cpu = cpu_seconds().unwrap_or(0.0) - cpu_before - made_cpu;
    let (kept, rows) = (KEPT.load(Ordering::Relaxed), i64::try_from(fragments).expect("not that many"));
    assert_eq!(kept + DROPPED.load(Ordering::Relaxed), rows - 1, "rows are conserved");
    println!(
        "{fragments} fragments, {workers} workers: {total:.2} s, of it {making:.2} s to make them and {:.2} s after \
         the last; {cpu:.2} s of CPU without making them; {kept} kept; one retraction {:.1} ms; {} bytes a fragment at the peak, {} at rest",
        total - fed,
        delta * 1e3,
        (peak - before) / rows,
        (resting - before) / rows,
    );
    for (name, value, unit) in [
        ("dedup/rows_per_second", fragments as f64 / (total - making), "rows/s"),
        ("dedup/cpu", cpu / fragments as f64 * 1e6, "us/fragment"),
        ("dedup/peak", (peak - before) as f64 / fragments as f64, "bytes/fragment"),
        ("dedup/one_retraction", delta, "s"),
    ] {
        println!(
            r#"{{"name":"{name}","value":{value:.4},"unit":"{unit}","fragments":{fragments},"workers":{workers}}}"#
        );
    }
}
