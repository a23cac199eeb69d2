//! Golden rows: the quick start with scripted models. A change of any stage shows in them, wanted or not.
//!
//! `ISOGLOSS_GOLDEN=write cargo golden` writes them anew; read the difference before it is committed.
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads its orders from the environment, and has patience"
)]

#[path = "support/by_script.rs"]
mod by_script;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use by_script::ByScript;
use isogloss::config::Settings;
use isogloss::curate::{Given, curate};
use isogloss::llm::scripted::Scripted;
use isogloss::sink::verify::verify;
use isogloss::stop::Stop;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

/// Rows, then what became of every fragment, one JSON object a line.
const ROWS: &str = "data/golden/quickstart.jsonl";

/// A run of the quick start's settings, relative to the checkout as its user runs it.
fn run(output: &Path) -> isogloss::curate::Outcome {
    let mut settings = Settings::load(Path::new("dataflows/curate/quickstart.toml"), &[])
        .expect("the quick start's settings");
    output.clone_into(&mut settings.output);
    let given = Given {
        endpoints: Some([("embedded".to_owned(), Arc::new(Scripted::echo()) as _)].into()),
        identifier: Some(Arc::new(ByScript)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    curate(settings, given, runtime.handle(), &Stop::default()).expect("a run")
}

fn line_of(batch: &RecordBatch, i: usize) -> String {
    let text = |name: &str| batch[name].as_string::<i32>().value(i);
    let spans = batch["spans"].as_list::<i32>().value(i);
    let side = |side: usize| spans.as_struct().column(side).as_primitive::<Int64Type>().values().to_vec();
    let spans: Vec<(i64, i64)> = side(0).into_iter().zip(side(1)).collect();
    json!({
        "shard": text("shard"),
        "row": batch["row"].as_primitive::<Int64Type>().value(i),
        "spans": spans,
        "id": text("id"),
        "lang": text("lang"),
        "source_id": text("source_id"),
        "url": text("url"),
        "cell": batch["cell"].as_primitive::<Int32Type>().value(i),
        "score": batch["score"].as_primitive::<Float64Type>().value(i),
        "instruction": text("instruction"),
        "instruction_en": text("instruction_en"),
        // The response itself is the span of a row that stands in data/corpora; its ends are enough to read.
        "response": ends(text("response")),
    })
    .to_string()
}

/// The first and last 40 characters.
fn ends(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (first, last) = (&chars[..40.min(chars.len())], &chars[chars.len().saturating_sub(40)..]);
    format!("{} … {}", first.iter().collect::<String>(), last.iter().collect::<String>())
}

#[test]
fn the_quick_start_gives_the_golden_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = run(folder.path());
    let mut found = String::new();
    for part in outcome.manifest.parts.iter().filter(|part| part.rows > 0) {
        let path = folder.path().join("current").join(part.lang.tag()).join(&part.name);
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("there")).expect("Parquet");
        for batch in builder.build().expect("a reader") {
            let batch = batch.expect("decoded");
            (0..batch.num_rows()).for_each(|i| writeln!(found, "{}", line_of(&batch, i)).expect("a string"));
        }
    }
    for ((stage, lang), line) in outcome.tally.lines() {
        writeln!(
            found,
            "{}",
            json!({ "stage": format!("{stage:?}"), "lang": lang.tag(), "line": format!("{line:?}") })
        )
        .expect("a string");
    }
    let report = verify(folder.path(), Path::new("."), &mut |_| {}).expect("read");
    assert!(report.holds() && report.rows > 5, "{report}");
    if std::env::var("ISOGLOSS_GOLDEN").is_ok_and(|what| what == "write") {
        fs::write(ROWS, &found).expect("written");
    }
    let wanted = fs::read_to_string(ROWS).expect("part of the checkout");
    for (at, (wanted, found)) in wanted.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, wanted, "line {} of {ROWS}", at + 1);
    }
    assert_eq!(found.lines().count(), wanted.lines().count(), "lines of {ROWS}");
}
