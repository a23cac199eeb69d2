//! Each way to tamper with an output is noticed, and told with its file and row.

use crate::made::{Made, ONE, made, published};
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use isogloss::sink::verify::{Report, verify};
use isogloss::sink::{Manifest, Part};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

struct Output {
    folder: tempfile::TempDir,
    made: Made,
    manifest: Manifest,
}

impl Output {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = made(folder.path(), &["in/a.parquet", "in/b.parquet"], 400);
        let (manifest, _) = published(&folder.path().join("out"), &made, ONE);
        Self { folder, made, manifest }
    }

    fn report(&self) -> Report {
        verify(&self.folder.path().join("out"), self.folder.path(), &mut |_| {}).expect("readable")
    }

    fn part(&self) -> &Part {
        self.manifest.parts.iter().find(|part| part.rows > 100).expect("a part with rows")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("out/current").join(self.part().lang.tag()).join(&self.part().name)
    }

    /// Changes the rows of a part, and the manifest so that its bytes fit: only the rows themselves can tell.
    fn rewritten(change: impl Fn(RecordBatch) -> RecordBatch) -> Report {
        let mut output = Self::new();
        let path = output.path();
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("there")).expect("Parquet");
        let (schema, facts) =
            (Arc::clone(builder.schema()), builder.metadata().file_metadata().key_value_metadata().cloned());
        let batches: Vec<RecordBatch> =
            builder.build().expect("a reader").map(|batch| batch.expect("decoded")).collect();
        let changed = change(concat_batches(&schema, &batches).expect("one schema"));
        let properties = WriterProperties::builder().set_key_value_metadata(facts).build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), changed.schema(), Some(properties)).expect("started");
        writer.write(&changed).expect("encoded");
        let bytes = writer.into_inner().expect("whole");
        // Through a new file, for the old one is linked from the store.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, &bytes).expect("written");
        let name = output.part().name.clone();
        let part = output.manifest.parts.iter_mut().find(|part| part.name == name).expect("there");
        part.hash = xxhash_rust::xxh3::xxh3_128(&bytes);
        part.bytes = bytes.len() as u64;
        part.rows = changed.num_rows() as u64;
        output.write_manifest();
        output.report()
    }

    fn write_manifest(&self) {
        let text = self.manifest.clone().sealed().text().expect("JSON");
        fs::write(self.folder.path().join("out/current/manifest.json"), text).expect("written");
    }
}

fn replaced(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).expect("a column")] = column;
    RecordBatch::try_new(batch.schema(), columns).expect("fits")
}

fn texts(batch: &RecordBatch, name: &str, row: usize, change: impl Fn(&str) -> String) -> RecordBatch {
    let column = batch[name].as_string::<i32>();
    let changed = column.iter().enumerate().map(|(i, text)| {
        let text = text.expect("no null");
        if i == row { change(text) } else { text.to_owned() }
    });
    replaced(batch, name, Arc::new(StringArray::from_iter_values(changed)))
}

fn spans(batch: &RecordBatch, change: impl Fn(usize, i64) -> i64) -> RecordBatch {
    let list = batch["spans"].as_list::<i32>();
    let values = list.values().as_struct();
    let side = |side: usize| -> ArrayRef {
        let column = values.column(side).as_primitive::<Int64Type>();
        let changed = column.values().iter().enumerate().map(|(i, value)| change(i * 2 + side, *value));
        Arc::new(Int64Array::from_iter_values(changed))
    };
    let values = StructArray::new(values.fields().clone(), vec![side(0), side(1)], None);
    let field = match list.data_type() {
        arrow::datatypes::DataType::List(field) => Arc::clone(field),
        other => panic!("no list: {other}"),
    };
    let list = ListArray::new(field, list.offsets().clone(), Arc::new(values), None);
    replaced(batch, "spans", Arc::new(list))
}

/// Asserts that something of these words is told, of a row if one is given.
#[track_caller]
fn told(report: &Report, row: Option<u64>, words: &str) {
    assert!(!report.holds());
    let found = report.violations.iter().any(|v| v.what.contains(words) && (row.is_none() || v.row == row));
    assert!(found, "{words:?} is not in:\n{report}");
}

#[test]
fn an_untouched_output_holds_and_so_does_an_unchanged_rewrite() {
    let output = Output::new();
    let report = output.report();
    let rows: u64 = output.manifest.parts.iter().map(|part| part.rows).sum();
    assert!(report.holds() && report.rows == rows && report.proved == rows, "{report}");
    let report = Output::rewritten(|batch| batch);
    assert!(report.holds(), "{report}");
}

#[test]
fn a_flipped_byte_is_noticed() {
    let output = Output::new();
    let path = output.path();
    let mut bytes = fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");
    told(&output.report(), None, "its bytes are not those of the manifest");
}

#[test]
fn a_shifted_span_is_noticed_by_id_and_text() {
    let report = Output::rewritten(|batch| spans(&batch, |i, value| if i == 1 { value + 1 } else { value }));
    told(&report, Some(0), "its id is not that of its place");
    let byte = report
        .violations
        .iter()
        .any(|v| v.what.contains("cuts a character") || v.what.contains("text of its spans"));
    assert!(byte, "{report}");
    told(&Output::rewritten(|batch| spans(&batch, |_, value| -value)), Some(0), "out of range");
    told(&Output::rewritten(|batch| spans(&batch, |_, value| value + 100_000)), Some(0), "leaves the text");
}

#[test]
fn swapped_doubled_and_missing_rows_are_noticed() {
    let taken = |rows: &'static dyn Fn(u32) -> Vec<u32>| {
        Output::rewritten(move |batch| {
            let rows = rows(u32::try_from(batch.num_rows()).expect("few"));
            take_record_batch(&batch, &UInt32Array::from(rows)).expect("rows that are there")
        })
    };
    told(&taken(&|n| [1, 0].into_iter().chain(2..n).collect()), Some(1), "out of order");
    told(&taken(&|n| [0, 0].into_iter().chain(1..n).collect()), Some(1), "out of order");
    let mut output = Output::new();
    output.manifest.parts.iter_mut().for_each(|part| part.rows += u64::from(part.rows > 0));
    output.write_manifest();
    told(&output.report(), None, "the manifest says");
}

#[test]
fn changed_words_are_noticed() {
    told(
        &Output::rewritten(|batch| texts(&batch, "response", 3, |t| format!("{t}."))),
        Some(3),
        "text of its spans",
    );
    told(&Output::rewritten(|batch| texts(&batch, "response", 3, |t| format!("{t}."))), Some(3), "messages");
    told(
        &Output::rewritten(|batch| texts(&batch, "instruction", 2, |t| format!("{t}?"))),
        Some(2),
        "messages",
    );
    told(&Output::rewritten(|batch| texts(&batch, "lang", 1, |_| "spa_Latn".into())), Some(1), "folder");
    told(&Output::rewritten(|batch| texts(&batch, "shard", 1, |_| "in/c".into())), Some(1), "shard");
    told(&Output::rewritten(|batch| texts(&batch, "id", 0, |t| t.to_uppercase() + "0")), Some(0), "id");
    let moved = |batch: RecordBatch| {
        let rows = batch["row"].as_primitive::<Int64Type>().values().iter().map(|row| row + 1_000_000);
        replaced(&batch, "row", Arc::new(Int64Array::from_iter_values(rows)))
    };
    told(&Output::rewritten(moved), Some(0), "not in the source");
}

#[test]
fn files_too_many_too_few_and_of_others_are_noticed() {
    let output = Output::new();
    fs::write(output.path().with_file_name("more.parquet"), "x").expect("written");
    told(&output.report(), None, "not in the manifest");
    let output = Output::new();
    fs::remove_file(output.path()).expect("removed");
    told(&output.report(), None, "cannot be read");
    let mut output = Output::new();
    output.manifest.fingerprint += 1;
    output.manifest.versions.score = "another".into();
    output.write_manifest();
    let report = output.report();
    told(&report, None, "settings fingerprint");
    told(&report, Some(0), "versions");
    let output = Output::new();
    let text = output.manifest.text().expect("JSON");
    let digest = format!("{:032x}", output.manifest.digest);
    let path = output.folder.path().join("out/current/manifest.json");
    fs::write(path, text.replace(&digest, &"0".repeat(32))).expect("written");
    told(&output.report(), None, "digest");
}

#[test]
fn a_replaced_and_a_missing_shard_are_told_and_prove_nothing() {
    let output = Output::new();
    let shard = output.folder.path().join("in/a.parquet");
    crate::made::shard(output.folder.path(), "in/a.parquet", &["other".to_owned()]);
    let report = output.report();
    told(&report, None, "was replaced since");
    assert!(report.proved > 0 && report.proved < report.rows);
    fs::remove_file(shard).expect("removed");
    told(&output.report(), None, "the shard cannot be read");
    assert_eq!(output.made.shards.len(), 2);
}
