//! One part: its form, its rows, and each row against the text it came from.

use super::Report;
use super::source::{Source, Texts};
use crate::model::{Span, fragment_id, response_of};
use crate::sink::columns::{COLUMNS, SCHEMA, SCHEMA_KEY, SETTINGS_KEY};
use crate::sink::manifest::{Manifest, Part};
use crate::sink::names::hex;
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::path::Path;

/// Rows that are read and proved at a time: what bounds memory.
const ROWS_PER_BATCH: usize = 256;

/// Reads a part and adds to the report.
pub(super) fn check(
    report: &mut Report,
    path: &Path,
    name: &str,
    manifest: &Manifest,
    part: &Part,
    source: Option<&Source>,
) {
    let reader = match open(report, path, name, manifest) {
        Ok(reader) => reader,
        Err(why) => return report.add(name, None, format!("cannot be read: {why}")),
    };
    let mut texts = match source.map(|source| numbers(path).and_then(|rows| source.texts(&rows))).transpose()
    {
        Ok(texts) => texts,
        Err(why) => return report.add(name, None, format!("it or its source cannot be read: {why}")),
    };
    let mut at = 0;
    let mut last = None;
    for batch in reader {
        let batch = match batch {
            Ok(batch) => batch,
            Err(cause) => return report.add(name, Some(at), format!("cannot be read: {cause}")),
        };
        let Some(view) = View::of(&batch) else {
            return report.add(name, None, "its columns are not ours");
        };
        let rows: Vec<Read> = (0..batch.num_rows()).map(|i| view.row(i)).collect();
        for (i, row) in rows.iter().enumerate() {
            let faults = faults(row, &mut last, manifest, part);
            faults.into_iter().for_each(|what| report.add(name, Some(at + i as u64), what));
        }
        if let Some(texts) = texts.as_mut() {
            prove(report, name, at, &rows, texts);
        }
        at += rows.len() as u64;
        report.rows += rows.len() as u64;
    }
    if at != part.rows {
        report.add(name, None, format!("has {at} rows, the manifest says {}", part.rows));
    }
}

fn open(
    report: &mut Report,
    path: &Path,
    name: &str,
    manifest: &Manifest,
) -> Result<ParquetRecordBatchReader, String> {
    let file = File::open(path).map_err(|cause| cause.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| cause.to_string())?;
    let facts = builder.metadata().file_metadata().key_value_metadata();
    let fact = |key: &str| {
        facts.into_iter().flatten().find(|fact| fact.key == key).and_then(|fact| fact.value.clone())
    };
    if fact(SCHEMA_KEY).as_deref() != Some(SCHEMA) {
        report.add(name, None, format!("its metadata does not say {SCHEMA_KEY}={SCHEMA}"));
    }
    if fact(SETTINGS_KEY) != Some(hex(manifest.fingerprint)) {
        report.add(name, None, "its metadata has another settings fingerprint than the manifest");
    }
    if builder.schema().fields() != COLUMNS.fields() {
        return Err("its columns are not ours".to_owned());
    }
    builder.with_batch_size(ROWS_PER_BATCH).build().map_err(|cause| cause.to_string())
}

/// The columns of a batch.
struct View<'a> {
    batch: &'a RecordBatch,
    id: &'a StringArray,
    lang: &'a StringArray,
    instruction: &'a StringArray,
    response: &'a StringArray,
    shard: &'a StringArray,
}

/// One row, as it stands in the file.
struct Read {
    id: String,
    lang: String,
    instruction: String,
    response: String,
    messages: Vec<(String, String)>,
    score: f64,
    shard: String,
    row: i64,
    spans: Vec<(i64, i64)>,
    versions: Vec<String>,
}

impl<'a> View<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        Some(Self {
            batch,
            id: text("id")?,
            lang: text("lang")?,
            instruction: text("instruction")?,
            response: text("response")?,
            shard: text("shard")?,
        })
    }

    fn row(&self, i: usize) -> Read {
        let batch = self.batch;
        let words = |array: &dyn Array| -> Vec<String> {
            array.as_string::<i32>().iter().map(|word| word.unwrap_or_default().to_owned()).collect()
        };
        let pairs = |name: &str| batch[name].as_list::<i32>().value(i);
        let messages = pairs("messages");
        let (roles, contents) =
            (words(messages.as_struct().column(0)), words(messages.as_struct().column(1)));
        let spans = pairs("spans");
        let ends = |side: usize| spans.as_struct().column(side).as_primitive::<Int64Type>().values().to_vec();
        let versions = batch["versions"].as_struct();
        let version = |side: usize| versions.column(side).as_string::<i32>().value(i).to_owned();
        Read {
            id: self.id.value(i).to_owned(),
            lang: self.lang.value(i).to_owned(),
            instruction: self.instruction.value(i).to_owned(),
            response: self.response.value(i).to_owned(),
            messages: roles.into_iter().zip(contents).collect(),
            score: batch["score"].as_primitive::<Float64Type>().value(i),
            shard: self.shard.value(i).to_owned(),
            row: batch["row"].as_primitive::<Int64Type>().value(i),
            spans: ends(0).into_iter().zip(ends(1)).collect(),
            versions: (0..versions.num_columns()).map(version).collect(),
        }
    }
}

impl Read {
    /// Row and spans in the types of the model; `None` if they are no such numbers.
    fn lineage(&self) -> Option<(u32, Vec<Span>)> {
        let number = |value: i64| u32::try_from(value).ok();
        let span = |(start, end): &(i64, i64)| Some(Span { start: number(*start)?, end: number(*end)? });
        Some((number(self.row)?, self.spans.iter().map(span).collect::<Option<Vec<Span>>>()?))
    }
}

/// What is wrong with a row by itself.
fn faults(row: &Read, last: &mut Option<(i64, i64)>, manifest: &Manifest, part: &Part) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    must(row.lang == part.lang.tag(), "its lang is not that of its folder");
    must(row.shard == part.shard, "its shard is not that of its part");
    let ascending = row.spans.windows(2).all(|pair| matches!(pair, [a, b] if a.1 <= b.0));
    must(!row.spans.is_empty() && ascending, "its spans are not in order");
    must(row.spans.iter().all(|(start, end)| start < end), "a span of it is empty");
    let place = (row.row, row.spans.first().map_or(-1, |span| span.0));
    must(last.is_none_or(|last| last < place), "out of order: its place is not after the row before");
    *last = Some(place);
    match row.lineage() {
        Some((number, spans)) => {
            must(row.id == hex(fragment_id(&row.shard, number, &spans)), "its id is not that of its place");
        }
        None => must(false, "its row or spans are out of range"),
    }
    let turns: Vec<(&str, &str)> =
        row.messages.iter().map(|(role, content)| (role.as_str(), content.as_str())).collect();
    let wanted = [("user", row.instruction.as_str()), ("assistant", row.response.as_str())];
    must(turns == wanted, "its messages are not its instruction and response");
    must(!row.instruction.trim().is_empty(), "its instruction is empty");
    must(row.score.is_finite(), "its score is no number");
    let versions = manifest.versions.named();
    must(
        versions.iter().map(|(_, version)| *version).eq(row.versions.iter().map(String::as_str)),
        "its versions are not those of the manifest",
    );
    faults
}

/// The source rows that a part names, ascending, each once: 8 bytes per row are held.
fn numbers(path: &Path) -> Result<Vec<u64>, String> {
    let file = File::open(path).map_err(|cause| cause.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| cause.to_string())?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["row"]);
    let mut numbers = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(|cause| cause.to_string())? {
        let batch = batch.map_err(|cause| cause.to_string())?;
        let column = batch.column(0).as_primitive::<Int64Type>();
        numbers.extend(column.values().iter().filter_map(|row| u64::try_from(*row).ok()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Each row against the text it came from. A row out of order, which is told already, is not proved.
fn prove(report: &mut Report, name: &str, at: u64, rows: &[Read], texts: &mut Texts) {
    let mut before = i64::MIN;
    for (i, row) in rows.iter().enumerate() {
        let in_order = row.row >= before;
        before = before.max(row.row);
        let text = u64::try_from(row.row).map_or(Ok(None), |number| texts.seek(number));
        let what = match (text, row.lineage()) {
            (Ok(None), _) if !in_order => continue,
            (Ok(None), _) => "its row is not in the source".to_owned(),
            (Err(why), _) => format!("its source cannot be read: {why}"),
            (Ok(Some(_)), None) => continue,
            (Ok(Some(text)), Some((_, spans))) => match response_of(text, &spans) {
                None => "a span of it leaves the text or cuts a character".to_owned(),
                Some(response) if response != row.response => {
                    "its response is not the text of its spans".to_owned()
                }
                Some(_) => {
                    report.proved += 1;
                    continue;
                }
            },
        };
        report.add(name, Some(at + i as u64), what);
    }
}
