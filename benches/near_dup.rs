//! Near-duplicate removal end to end, Parquet in and lists out, on a set whose duplicates are known: documents and megabytes
//! per second, CPU, peak memory; recall by script and Jaccard, false merges, clusters lost; how two workers scale, beside how
//! this machine scales two processes that share nothing.
//!
//! `cargo bench --bench near_dup [-- DOCUMENTS [RUNS]]`: 50,000 documents (about 200 MB) and 5 runs by default. The set is
//! made in the target folder when it is absent. Every run is a process of its own, for its peak and its start.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bench")]

mod near_dup_set;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use isogloss::config::{Mode, StateSettings};
use isogloss::dedup::{Settings, dedup};
use isogloss::source::list::list;
use isogloss::stop::Stop;
use isogloss::telemetry::cpu::cpu_seconds;
use isogloss::telemetry::memory::peak_bytes;
use near_dup_set::{Set, id_of, set};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 6;
/// Pairs at or above it must be found; pairs below `UNLIKE` must not.
const LIKE: f64 = 0.8;
const UNLIKE: f64 = 0.65;

fn main() {
    isogloss::telemetry::memory::small_pages();
    let flags: Vec<String> = std::env::args().skip(1).filter(|flag| !flag.starts_with("--")).collect();
    if let [input, output, workers, mode, core @ ..] = &flags[..] {
        core.iter().for_each(|core| on_core(core.parse().unwrap()));
        return child(input, output, workers.parse().unwrap(), mode);
    }
    let documents = flags.first().map_or(50_000, |flag| flag.parse().unwrap());
    let runs = flags.get(1).map_or(5, |flag| flag.parse().unwrap());
    let set = set(Path::new(env!("CARGO_TARGET_TMPDIR")), documents, SEED);
    let (decoding, text) = decoded(&set.one);
    println!("decoding the text alone, one core: {:.0} MB/s ({text} bytes)", text as f64 / decoding / 1e6);
    let output = tempfile::tempdir().unwrap();
    for (name, input, workers, mode) in [
        ("one_file", &set.one, 2, "durable"),
        ("one_file", &set.one, 1, "durable"),
        ("16_files", &set.many, 2, "durable"),
        ("16_files", &set.many, 1, "durable"),
        ("one_file", &set.one, 2, "memory"),
        ("one_file", &set.one, 1, "memory"),
        ("16_files", &set.many, 2, "memory"),
        ("16_files", &set.many, 1, "memory"),
    ] {
        let into = output.path().join(format!("{name}-{workers}-{mode}"));
        let mut seen: Vec<Seen> = (0..runs).map(|_| started(input, &into, workers, mode)).collect();
        seen.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let (best, median) = (&seen[0], &seen[seen.len() / 2]);
        let peak = seen.iter().map(|seen| seen.peak).max().unwrap_or(0);
        println!(
            "{name}, {workers} workers, {mode}: best {:.0} documents/s ({:.0} MB/s, {:.2} s of CPU), median {:.0} documents/s; peak {:.0} MB",
            documents as f64 / best.seconds,
            set.bytes as f64 / best.seconds / 1e6,
            best.cpu,
            documents as f64 / median.seconds,
            peak as f64 / 1e6,
        );
        for (what, value, unit) in [
            ("best", documents as f64 / best.seconds, "documents/s"),
            ("median", documents as f64 / median.seconds, "documents/s"),
            ("cpu", best.cpu, "s"),
            ("peak_memory", peak as f64, "bytes"),
        ] {
            println!(
                r#"{{"name":"near_dup/{what}","value":{value:.3},"unit":"{unit}","input":"{name}","workers":{workers},"state":"{mode}","documents":{documents},"bytes":{},"runs":{runs}}}"#,
                set.bytes
            );
        }
        if (name, workers, mode) == ("one_file", 2, "durable") {
            judged(&set, &into, documents);
        }
    }
    let same = |a: &str, b: &str| {
        let kept = |name: &str| std::fs::read(output.path().join(name).join("kept.parquet")).unwrap();
        kept(a) == kept(b)
    };
    for name in ["one_file", "16_files"] {
        let first = format!("{name}-2-durable");
        for other in ["1-durable", "2-memory", "1-memory"] {
            assert!(same(&first, &format!("{name}-{other}")), "workers or state change the list: {other}");
        }
    }
    grown(&set, output.path(), documents);
    for (name, input) in [("one_file", &set.one), ("16_files", &set.many)] {
        scaled(name, input, output.path(), runs.max(7));
    }
}

/// One run: prints seconds, seconds of CPU and peak memory.
fn child(input: &str, output: &str, workers: usize, mode: &str) {
    let start = Instant::now();
    let mode = if mode == "memory" { Mode::Memory } else { Mode::Durable };
    let settings = Settings {
        input: vec![input.to_owned()],
        output: output.into(),
        workers,
        state: StateSettings { mode, ..StateSettings::default() },
        ..Settings::default()
    };
    dedup(settings, &Stop::default()).unwrap();
    println!(
        "{} {} {}",
        start.elapsed().as_secs_f64(),
        cpu_seconds().unwrap_or(0.0),
        peak_bytes().unwrap_or(0)
    );
}

struct Seen {
    seconds: f64,
    cpu: f64,
    peak: u64,
}

/// Two workers beside one on a core of its own, by turns, and the limit: two of these, each on its core, side by side.
fn scaled(name: &str, input: &Path, output: &Path, runs: usize) {
    let into = |what: &str| output.join(format!("scaled-{what}"));
    let median = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    let (mut two, mut one, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        two.push(started(input, &into("two"), 2, "durable").seconds);
        one.push(alone(input, &into("one"), 1).seconds);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| alone(input, &into("other"), 0).seconds);
            let this = alone(input, &into("one"), 1).seconds;
            beside.push(this.max(other.join().unwrap()));
        });
    }
    let (two, one, beside) = (median(two), median(one), median(beside));
    println!(
        "{name}: two workers {two:.3} s, one on one core {one:.3} s: {:.2} times; two of these side by side {beside:.3} s: {:.2} times",
        one / two,
        2.0 * one / beside
    );
    println!(
        r#"{{"name":"near_dup/scaled","value":{:.4},"unit":"times","limit":{:.4},"input":"{name}","runs":{runs}}}"#,
        one / two,
        2.0 * one / beside
    );
}

/// One worker on one core.
fn alone(input: &Path, output: &Path, core: usize) -> Seen {
    let _ = std::fs::remove_dir_all(output);
    told(Command::new(std::env::current_exe().unwrap()).args([input, output]).args([
        "1",
        "durable",
        &core.to_string(),
    ]))
}

/// Keeps this process on one core.
fn on_core(core: usize) {
    #[cfg(target_os = "linux")]
    {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        rustix::thread::sched_setaffinity(None, &cores).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    println!("not kept on core {core}");
}

/// The last of 16 files comes to the 15 before: the cost of a delta beside that of the whole.
fn grown(set: &Set, output: &Path, documents: u64) {
    let (input, into) = (output.join("grown"), output.join("grown-out"));
    std::fs::create_dir(&input).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(&set.many).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let (last, before) = files.split_last().unwrap();
    for file in before {
        std::fs::copy(file, input.join(file.file_name().unwrap())).unwrap();
    }
    let whole = goes_on(&input, &into, 2, "durable");
    std::fs::copy(last, input.join(last.file_name().unwrap())).unwrap();
    let delta = goes_on(&input, &into, 2, "durable");
    println!(
        "the last of {} files, {documents} documents: {:.3} s beside {:.3} s for those before; {:.2} s of CPU beside {:.2} s",
        files.len(),
        delta.seconds,
        whole.seconds,
        delta.cpu,
        whole.cpu
    );
    println!(
        r#"{{"name":"near_dup/delta","value":{:.4},"unit":"s","before":{:.4},"cpu":{:.3},"documents":{documents}}}"#,
        delta.seconds, whole.seconds, delta.cpu
    );
}

fn started(input: &Path, output: &Path, workers: usize, mode: &str) -> Seen {
    let _ = std::fs::remove_dir_all(output);
    goes_on(input, output, workers, mode)
}

fn goes_on(input: &Path, output: &Path, workers: usize, mode: &str) -> Seen {
    let this = std::env::current_exe().unwrap();
    told(Command::new(this).args([input, output]).arg(workers.to_string()).arg(mode))
}

/// What a child says.
fn told(child: &mut Command) -> Seen {
    let ended = child.output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut numbers = said.split_whitespace().map(|number| number.parse::<f64>().unwrap());
    let mut next = || numbers.next().unwrap();
    Seen { seconds: next(), cpu: next(), peak: next() as u64 }
}

/// Seconds and bytes of decoding the text of every shard on one core.
fn decoded(input: &Path) -> (f64, u64) {
    let start = Instant::now();
    let mut bytes = 0;
    for shard in list(&[input.display().to_string()]).unwrap() {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&shard.path).unwrap()).unwrap();
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["text"]);
        let reader = builder.with_projection(mask).build().unwrap();
        bytes += reader.map(|batch| text_bytes(batch.unwrap().column(0))).sum::<u64>();
    }
    (start.elapsed().as_secs_f64(), bytes)
}

fn text_bytes(text: &dyn Array) -> u64 {
    let offsets = text.as_string::<i32>().value_offsets();
    offsets.last().zip(offsets.first()).map_or(0, |(last, first)| (last - first) as u64)
}

#[derive(Default)]
struct Band {
    pairs: u64,
    found: u64,
}

/// Compares the lists with the truth.
fn judged(set: &Set, output: &Path, documents: u64) {
    let numbers: BTreeMap<String, u64> = (0..documents).map(|number| (id_of(number), number)).collect();
    let mut kept = BTreeSet::new();
    each(&output.join("kept.parquet"), |id, _| _ = kept.insert(numbers[id]));
    let mut clusters: BTreeMap<u64, String> = BTreeMap::new();
    each(&output.join("clusters.parquet"), |id, cluster| {
        clusters.insert(numbers[id], cluster.to_owned());
    });
    let mut families: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut family: BTreeMap<u64, u64> = BTreeMap::new();
    let mut bands: BTreeMap<(String, &str), Band> = BTreeMap::new();
    let (mut false_pairs, mut unlike) = (0, 0);
    for line in std::fs::read_to_string(&set.truth).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let (copy, original) = (numbers[cells[0]], numbers[cells[1]]);
        let jaccard: f64 = cells[3].parse().unwrap();
        families.entry(original).or_insert_with(|| vec![original]).push(copy);
        family.extend([(copy, original), (original, original)]);
        let together = clusters.get(&copy).is_some_and(|cluster| clusters.get(&original) == Some(cluster));
        let band = match (cells[2], jaccard) {
            ("exact", _) => "exact",
            ("form", _) => "form",
            (_, 0.95..) => "0.95-1.00",
            (_, 0.90..) => "0.90-0.95",
            (_, 0.85..) => "0.85-0.90",
            (_, LIKE..) => "0.80-0.85",
            (_, UNLIKE..) => "0.65-0.80",
            _ => "under 0.65",
        };
        if jaccard < UNLIKE {
            unlike += 1;
            false_pairs += u64::from(together);
        }
        let band = bands.entry((cells[4].to_owned(), band)).or_default();
        band.pairs += 1;
        band.found += u64::from(together);
    }
    let mut scripts: BTreeMap<&str, Band> = BTreeMap::new();
    for ((script, band), Band { pairs, found }) in &bands {
        println!("{script} {band:10} {found:6} of {pairs:6} found: {:.4}", *found as f64 / *pairs as f64);
        if !matches!(*band, "0.65-0.80" | "under 0.65") {
            let sum = scripts.entry(script).or_default();
            sum.pairs += pairs;
            sum.found += found;
        }
    }
    for (script, Band { pairs, found }) in &scripts {
        let recall = *found as f64 / *pairs as f64;
        println!("{script}: recall at {LIKE} and over {recall:.4} ({found} of {pairs})");
        println!(
            r#"{{"name":"near_dup/recall","value":{recall:.5},"unit":"ratio","script":"{script}","pairs":{pairs}}}"#
        );
    }
    // A cluster of documents of two families is a false merge; a document that goes must have kin.
    let mut of_cluster: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (number, cluster) in &clusters {
        of_cluster.entry(cluster).or_default().insert(*family.get(number).unwrap_or(number));
    }
    let mixed = of_cluster.values().filter(|families| families.len() > 1).count();
    let unrelated =
        (0..documents).filter(|number| !kept.contains(number) && !family.contains_key(number)).count();
    let lost =
        families.values().filter(|members| members.iter().all(|number| !kept.contains(number))).count();
    println!(
        "kept {} of {documents}; pairs under {UNLIKE} merged: {false_pairs} of {unlike}; clusters of two families: {mixed}; \
         unrelated documents removed: {unrelated}; clusters lost: {lost} of {}",
        kept.len(),
        families.len()
    );
    println!(
        r#"{{"name":"near_dup/errors","value":{},"unit":"count","merged_under_0.65":{false_pairs},"mixed":{mixed},"unrelated_removed":{unrelated},"lost":{lost}}}"#,
        false_pairs as usize + mixed + unrelated + lost
    );
}

/// Every id of a list, with its cluster where the list has one.
fn each(path: &Path, mut see: impl FnMut(&str, &str)) {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    for batch in reader.map(Result::unwrap) {
        let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
        let clusters = batch.column_by_name("cluster").map(AsArray::as_string::<i32>);
        assert!(batch.column_by_name("row").unwrap().as_primitive_opt::<Int64Type>().is_some());
        for at in 0..batch.num_rows() {
            see(ids.value(at), clusters.map_or("", |clusters| clusters.value(at)));
        }
    }
}
