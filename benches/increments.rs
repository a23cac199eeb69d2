//! Whole runs with scripted models: what one shard more costs against the full run, and a shard among ten against one
//! among a thousand.
//!
//! `cargo bench --bench increments [-- PAGES]`: shards of `PAGES` (400) made pages each, of paragraphs of the project's Portuguese
//! corpora in random order. Models answer at once, so what is measured is everything but them: reading, front, dedup,
//! sample, selection, parts, state, snapshot.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

#[path = "../tests/support/by_script.rs"]
mod by_script;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use by_script::ByScript;
use isogloss::config::Settings;
use isogloss::curate::{Given, Outcome, curate};
use isogloss::llm::scripted::Scripted;
use isogloss::stop::Stop;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    isogloss::telemetry::memory::small_pages();
    let pages = std::env::args().skip(1).find_map(|flag| flag.parse().ok()).unwrap_or(400);
    let pool = paragraphs();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);

    make(&at("ten"), 0..10, pages, &pool);
    let (full, all) = run(&at("ten"), &at("full"));
    make(&at("nine"), 0..9, pages, &pool);
    run(&at("nine"), &at("more"));
    make(&at("nine"), 9..10, pages, &pool);
    let (one, more) = run(&at("nine"), &at("more"));
    assert_eq!(all.manifest.rows_by_lang(), more.manifest.rows_by_lang(), "an increment is the full run");
    let (idle, _) = run(&at("nine"), &at("more"));
    println!(
        "ten shards of {pages} pages: {full:.2} s; the tenth alone: {one:.2} s, {:.1} %; idle {idle:.2} s",
        100.0 * one / full
    );
    tell("one_of_ten", one / full, "share", pages);

    // Small shards: what each of them costs by being one.
    let few = pages / 20;
    make(&at("few"), 0..10, few, &pool);
    let (ten, _) = run(&at("few"), &at("out-few"));
    make(&at("many"), 0..1_000, few, &pool);
    let (thousand, _) = run(&at("many"), &at("out-many"));
    let (a, b) = (ten / 10.0 * 1e3, thousand / 1_000.0 * 1e3);
    println!("a shard of {few} pages among 10: {a:.1} ms; among 1,000: {b:.1} ms; {:.2} times", b / a);
    tell("shard_of_a_thousand", b / a, "times", few);
    make(&at("many"), 1_000..1_001, few, &pool);
    let (last, _) = run(&at("many"), &at("out-many"));
    println!("the 1,001st shard alone: {:.1} ms", last * 1e3);
    tell("shard_1001", last, "s", few);
}

fn tell(name: &str, value: f64, unit: &str, pages: usize) {
    println!(r#"{{"name":"increments/{name}","value":{value:.4},"unit":"{unit}","pages":{pages}}}"#);
}

fn run(input: &Path, output: &Path) -> (f64, Outcome) {
    let mut settings = Settings::parse("[select.threshold]\ntarget_rate = 0.5\n", &[]).expect("valid");
    settings.input = vec![input.display().to_string()];
    settings.output = output.to_path_buf();
    let given = Given {
        endpoints: Some([("embedded".to_owned(), Arc::new(Scripted::echo()) as _)].into()),
        identifier: Some(Arc::new(ByScript)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let start = Instant::now();
    let outcome =
        curate(settings, given, runtime.expect("threads").handle(), &Stop::default()).expect("a run");
    (start.elapsed().as_secs_f64(), outcome)
}

/// The paragraphs of the Portuguese corpora.
fn paragraphs() -> Vec<String> {
    let mut pool = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora/por_Latn");
    let mut shards: Vec<_> =
        fs::read_dir(root).expect("part of the checkout").flatten().map(|entry| entry.path()).collect();
    shards.sort();
    for shard in shards {
        let file = File::open(shard).expect("a shard");
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
        for batch in reader.expect("Parquet") {
            let batch = batch.expect("rows");
            let texts = batch.column_by_name("text").expect("a column").as_string::<i32>();
            for text in texts.iter().flatten() {
                pool.extend(text.split('\n').filter(|line| line.len() > 200).map(str::to_owned));
            }
        }
    }
    pool
}

/// Shards of made pages: twelve paragraphs each.
fn make(folder: &Path, shards: std::ops::Range<usize>, pages: usize, pool: &[String]) {
    fs::create_dir_all(folder).expect("a folder");
    for shard in shards {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(shard as u64 + 1);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 1).expect("64 bits") % pool.len()
        };
        let page = |_| (0..12).map(|_| pool[next()].as_str()).collect::<Vec<_>>().join("\n");
        let texts: Vec<String> = (0..pages).map(page).collect();
        let column: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
        let file = File::create(folder.join(format!("{shard:05}.parquet"))).expect("made");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("started");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
    }
}
