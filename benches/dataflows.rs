//! The front of the chain as a run has it: read, cut, identify, judge, sign and dedup, without models. Megabytes of text
//! per second, peak memory, most text in flight; beside it the decoding of the same shards alone, which is the limit.
//!
//! `cargo bench --bench dataflows [-- PATH [WORKERS]]`: `PATH` is what `input` takes, `data/corpora` by default. Peak
//! memory is that of the process, so each number of workers wants a process of its own.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

use isogloss::config::Settings;
use isogloss::curate::{Given, curate};
use isogloss::llm::scripted::Scripted;
use isogloss::model::Stage;
use isogloss::source::list::list;
use isogloss::stop::Stop;
use isogloss::telemetry::memory::peak_bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    isogloss::telemetry::memory::small_pages();
    let mut flags = std::env::args().skip(1).filter(|flag| !flag.starts_with("--"));
    let path = flags.next().unwrap_or_else(|| "data/corpora".to_owned());
    let workers = flags.next().map_or(2, |flag| flag.parse().expect("a number of workers"));
    let limit = decoded(&path);

    let output = tempfile::tempdir().expect("a folder");
    let mut settings = Settings::parse("[sample]\nper_lang = 0\n", &[]).expect("valid");
    settings.input = vec![path.clone()];
    settings.output = output.path().to_path_buf();
    settings.workers = workers;
    let per_worker = settings.source.in_flight_bytes;
    let given = Given {
        endpoints: Some([("embedded".to_owned(), Arc::new(Scripted::echo()) as _)].into()),
        identifier: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let before = peak_bytes().unwrap_or(0);
    let start = Instant::now();
    let outcome =
        curate(settings, given, runtime.expect("threads").handle(), &Stop::default()).expect("a run");
    let seconds = start.elapsed().as_secs_f64();

    let (rows, fragments) = (outcome.tally.entered(Stage::Read), outcome.tally.entered(Stage::Identify));
    let tell = |name: &str, value: f64, unit: &str| {
        println!("{name:24} {value:12.1} {unit}");
        println!(
            r#"{{"name":"dataflows/{name}","value":{value:.2},"unit":"{unit}","path":"{path}","workers":{workers},"rows":{rows},"fragments":{fragments},"bytes":{}}}"#,
            limit.bytes
        );
    };
    tell("front", limit.bytes as f64 / seconds / 1e6, "MB/s");
    tell("front_rows", rows as f64 / seconds, "rows/s");
    tell("limit_decode_one_core", limit.bytes as f64 / limit.seconds / 1e6, "MB/s");
    tell("in_flight", outcome.in_flight[0] as f64 / 1e6, "MB");
    tell("in_flight_setting", per_worker as f64 * workers as f64 / 1e6, "MB");
    tell("peak_memory", peak_bytes().unwrap_or(0) as f64 / 1e6, "MB");
    tell("peak_memory_before", before as f64 / 1e6, "MB");
}

struct Limit {
    bytes: u64,
    seconds: f64,
}

/// Decodes the text of every shard, on one core, and throws it away.
fn decoded(path: &str) -> Limit {
    let start = Instant::now();
    let shards = list(&[path.to_owned()]).expect("shards");
    let bytes = shards.iter().map(|shard| text_bytes(&shard.path)).sum();
    Limit { bytes, seconds: start.elapsed().as_secs_f64() }
}

fn text_bytes(shard: &Path) -> u64 {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(File::open(shard).expect("there")).expect("Parquet");
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["text"]);
    let reader = builder.with_projection(mask).build().expect("a reader");
    let texts = reader.map(|batch| batch.expect("decoded").column(0).to_data());
    texts.map(|text| text.buffers().last().map_or(0, |bytes| bytes.len() as u64)).sum()
}
