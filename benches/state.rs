//! Durable dedup: the first load of a set, then deltas, each in a process of its own. Seconds, memory, bytes of state.
//!
//! `cargo bench --bench state [-- FRAGMENTS...]`: 1,000,000 by default; the made fragments of the bench of dedup. A delta's
//! fragments are new ones (three in ten duplicate what is there), its removals lie in the middle. Seconds run from the
//! open state to the durable commit; memory is resident memory beyond that of the process with the state open. The state
//! is built under the folder of the build and removed at the end.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

#[path = "fragments/mod.rs"]
mod fragments;

use differential_dataflow::input::Input;
use fragments::{BANDS, LANES, fragment, memory};
use isogloss::model::Epoch;
use isogloss::stage::dedup::DedupSettings;
use isogloss::stage::durable::DurableStages;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Workers, and bytes that each sorter may hold.
const WORKERS: usize = 2;
const SORT_BYTES: usize = 32 << 20;

/// Deltas: fragments added, fragments removed.
const DELTAS: [(u64, u64); 4] = [(1, 0), (1_000, 0), (1_000, 0), (10_000, 10_000)];

fn main() {
    isogloss::telemetry::memory::small_pages();
    let flags: Vec<String> = std::env::args().skip(1).filter(|flag| !flag.starts_with("--")).collect();
    if flags.first().is_some_and(|flag| flag == "run") {
        let numbers: Vec<u64> = flags[2..].iter().map(|flag| flag.parse().expect("a number")).collect();
        let [fragments, epoch, from, add, remove] = numbers[..] else { panic!("five numbers") };
        run(Path::new(&flags[1]), fragments, epoch, from, add, remove);
        return;
    }
    let sizes: Vec<u64> = flags.iter().filter_map(|flag| flag.parse().ok()).collect();
    for fragments in if sizes.is_empty() { vec![1_000_000] } else { sizes } {
        let folder = folder_of(fragments);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        child(&folder, fragments, [0, 0, fragments, 0]);
        let mut from = fragments;
        for (epoch, (add, remove)) in (1..).zip(DELTAS) {
            child(&folder, fragments, [epoch, from, add, remove]);
            from += add;
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}

fn folder_of(fragments: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{fragments}"))
}

fn child(folder: &Path, fragments: u64, numbers: [u64; 4]) {
    let this = std::env::current_exe().expect("a program knows its path");
    let numbers = numbers.map(|number| number.to_string());
    let ended = Command::new(this).arg("run").arg(folder).arg(fragments.to_string()).args(&numbers).status();
    assert!(ended.expect("the bench starts again").success(), "run {numbers:?} failed");
}

fn run(folder: &Path, fragments: u64, epoch: u64, from: u64, add: u64, remove: u64) {
    let start = Instant::now();
    let shards = u32::try_from(fragments / 100_000 + 2).expect("few");
    let stages = DurableStages::open(folder, epoch, shards, (BANDS, LANES / 2), SORT_BYTES).expect("a state");
    let opened = start.elapsed().as_secs_f64();
    let base = memory("VmRSS");
    let changes = Arc::new(AtomicI64::new(0));
    let (counter, used) = (Arc::clone(&changes), stages.clone());
    // What is fed is made beforehand where it is little, so that making it is not measured.
    let made: Option<Vec<_>> = (add <= 100_000).then(|| {
        let gone = (fragments / 3..fragments / 3 + remove).map(|i| (fragment(i, fragments), -1));
        (from..from + add).map(|i| (fragment(i, fragments), 1)).chain(gone).collect()
    });
    let made = Arc::new(made);
    let start = Instant::now();
    let guards = timely::execute(timely::Config::process(WORKERS), move |worker| {
        let counter = Arc::clone(&counter);
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, rows) = scope.new_collection();
            let verdicts = used.dedup(rows, &DedupSettings::default());
            verdicts.kept.inspect(move |_| _ = counter.fetch_add(1, Ordering::Relaxed));
            input
        });
        input.advance_to(1);
        let (index, peers) = (worker.index(), worker.peers());
        if let Some(made) = &*made {
            for (row, diff) in made.iter().skip(index).step_by(peers) {
                input.update(row.clone(), *diff);
            }
        } else {
            for (count, i) in (from..from + add).skip(index).step_by(peers).enumerate() {
                input.update(fragment(i, fragments), 1);
                if count % 512 == 511 {
                    input.flush();
                    worker.step();
                }
            }
        }
        input.close();
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|ended| ended.expect("no worker panics"));
    let worked = start.elapsed().as_secs_f64();
    stages.commit(folder, epoch + 1).expect("committed");
    let seconds = start.elapsed().as_secs_f64();
    let beyond = memory("VmHWM") - base;
    let state = bytes_under(folder);
    let million = (fragments + add) as f64 / 1e6;
    println!(
        "{fragments} fragments, +{add} -{remove}: {seconds:.3} s (open {opened:.3}, before the commit {worked:.3}), {} verdicts \
         change, peak {:.1} MB and {:.1} beyond the open state, state {:.1} MB",
        changes.load(Ordering::Relaxed),
        memory("VmHWM") as f64 / 1e6,
        beyond as f64 / 1e6,
        state as f64 / 1e6,
    );
    println!(
        r#"{{"name":"state/delta","fragments":{fragments},"added":{add},"removed":{remove},"seconds":{seconds:.4},"open_seconds":{opened:.4},"peak_bytes":{},"beyond_bytes":{beyond},"state_bytes_per_million":{:.0}}}"#,
        memory("VmHWM"),
        state as f64 / million,
    );
}

fn bytes_under(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                bytes_under(&entry.path())
            } else {
                entry.metadata().map_or(0, |meta| meta.len())
            }
        })
        .sum()
}
