//! Exchanges to Arrow columns, and how those are written: the schema of the output.
//!
//! **Why**: training tools read `messages`, people read `instruction` and `response`, auditors read `shard`, `row`
//! and `spans`. Nothing is null: what a source does not say is an empty string, so no reader needs a special case.
//! The bytes are a function of the rows: no date, no version of a library, no worker count.

use crate::error::{Error, Result};
use crate::model::{Exchange, Span};
use crate::sink::names::hex;
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

/// Version of the columns: readers compare it before they trust a name.
pub const SCHEMA: &str = "1";

/// Key of [`SCHEMA`] in the metadata of each file.
pub const SCHEMA_KEY: &str = "isogloss.schema";

/// Key of the settings fingerprint in the metadata of each file.
pub const SETTINGS_KEY: &str = "isogloss.settings";

/// What made a row: identity of each role's endpoint, and versions of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Native response to English.
    pub translate: String,
    /// English instruction.
    pub instruct: String,
    /// Score of the English pair.
    pub score: String,
    /// Vectors.
    pub embed: String,
    /// Instruction to the native language.
    pub localize: String,
    /// Names and versions of the prompts.
    pub prompts: String,
    /// [`SCHEMA`].
    pub schema: String,
}

impl Versions {
    /// Each with its name, in the order of the column.
    pub fn named(&self) -> [(&'static str, &str); 7] {
        [
            ("translate", &self.translate),
            ("instruct", &self.instruct),
            ("score", &self.score),
            ("embed", &self.embed),
            ("localize", &self.localize),
            ("prompts", &self.prompts),
            ("schema", &self.schema),
        ]
    }
}

/// The columns of a part, in order.
pub static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let list = |name: &str, fields: Fields| Field::new(name, DataType::List(element(fields)), false);
    Arc::new(Schema::new(vec![
        text("id"),
        text("lang"),
        list("messages", message_fields()),
        text("instruction"),
        text("response"),
        text("instruction_en"),
        text("response_en"),
        Field::new("score", DataType::Float64, false),
        Field::new("cell", DataType::Int32, false),
        text("shard"),
        Field::new("row", DataType::Int64, false),
        list("spans", span_fields()),
        text("source_id"),
        text("url"),
        text("license"),
        Field::new("versions", DataType::Struct(version_fields()), false),
    ]))
});

fn message_fields() -> Fields {
    Fields::from(vec![
        Field::new("role", DataType::Utf8, false),
        Field::new("content", DataType::Utf8, false),
    ])
}

fn span_fields() -> Fields {
    Fields::from(vec![Field::new("start", DataType::Int64, false), Field::new("end", DataType::Int64, false)])
}

fn version_fields() -> Fields {
    Versions::default().named().iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect()
}

/// The name that the format's specification gives to what a list holds.
fn element(fields: Fields) -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(fields), false))
}

/// Rows of one shard as columns.
///
/// # Errors
/// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the columns do not fit the schema.
pub fn batch_of(rows: &[Exchange], shard_key: &str, versions: &Versions) -> Result<RecordBatch> {
    let texts = |cell: fn(&Exchange) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(cell)))
    };
    let constant =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(|_| text))) };
    let ids = StringArray::from_iter_values(rows.iter().map(|row| hex(row.id)));
    let cells = rows.iter().map(|row| i32::try_from(row.cell).unwrap_or(i32::MAX));
    let versions: Vec<ArrayRef> = versions.named().iter().map(|(_, text)| constant(text)).collect();
    let versions = StructArray::try_new(version_fields(), versions, None).map_err(unfit)?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids),
        texts(|row| row.lang.tag()),
        messages(rows)?,
        texts(|row| &row.instruction),
        texts(|row| &row.response),
        texts(|row| &row.instruction_en),
        texts(|row| &row.response_en),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.score))),
        Arc::new(Int32Array::from_iter_values(cells)),
        constant(shard_key),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.place.row)))),
        spans(rows)?,
        texts(|row| &row.lineage.source_id),
        texts(|row| &row.lineage.url),
        texts(|row| &row.lineage.license),
        Arc::new(versions),
    ];
    RecordBatch::try_new(Arc::clone(&COLUMNS), columns).map_err(unfit)
}

fn messages(rows: &[Exchange]) -> Result<ArrayRef> {
    let turns = rows.iter().flat_map(|row| [("user", &row.instruction), ("assistant", &row.response)]);
    let roles = StringArray::from_iter_values(turns.clone().map(|(role, _)| role));
    let contents = StringArray::from_iter_values(turns.map(|(_, content)| content));
    let values = StructArray::try_new(message_fields(), vec![Arc::new(roles), Arc::new(contents)], None);
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|_| 2));
    let list = ListArray::try_new(element(message_fields()), offsets, Arc::new(values.map_err(unfit)?), None);
    Ok(Arc::new(list.map_err(unfit)?))
}

fn spans(rows: &[Exchange]) -> Result<ArrayRef> {
    let side = |side: fn(&Span) -> u32| -> ArrayRef {
        let spans = rows.iter().flat_map(|row| &row.spans);
        Arc::new(Int64Array::from_iter_values(spans.map(|span| i64::from(side(span)))))
    };
    let columns = vec![side(|span| span.start), side(|span| span.end)];
    let values = StructArray::try_new(span_fields(), columns, None).map_err(unfit)?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.spans.len()));
    Ok(Arc::new(ListArray::try_new(element(span_fields()), offsets, Arc::new(values), None).map_err(unfit)?))
}

fn unfit(cause: arrow::error::ArrowError) -> Error {
    Error::bug("columns do not fit their schema").because(cause)
}

/// How files of ours are written. Row groups end where the writer says, nowhere else.
///
/// # Errors
/// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the compression level is none.
pub fn properties(fingerprint: u128) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(3).map_err(|cause| Error::bug("no such level").because(cause))?;
    let facts = vec![
        KeyValue::new(SCHEMA_KEY.to_owned(), SCHEMA.to_owned()),
        KeyValue::new(SETTINGS_KEY.to_owned(), hex(fingerprint)),
    ];
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by("isogloss".to_owned())
        .set_key_value_metadata(Some(facts))
        .set_max_row_group_row_count(None);
    // Every value is its own: a dictionary would only be built to be thrown away.
    let unique: [&[&str]; 7] = [
        &["id"],
        &["messages", "list", "element", "content"],
        &["instruction"],
        &["response"],
        &["instruction_en"],
        &["response_en"],
        &["source_id"],
    ];
    for path in unique {
        let path = ColumnPath::new(path.iter().map(|part| (*part).to_owned()).collect());
        builder = builder.set_column_dictionary_enabled(path, false);
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn messages_and_spans_line_up_with_their_rows() {
        let span = |start, end| Span { start, end };
        let rows = [
            Exchange {
                instruction: "q".into(),
                response: "r".into(),
                spans: vec![span(0, 1)],
                ..Exchange::default()
            },
            Exchange { spans: vec![span(2, 3), span(5, 9)], cell: u32::MAX, ..Exchange::default() },
        ];
        let batch = batch_of(&rows, "k", &Versions::default()).expect("fits");
        let messages = batch.column_by_name("messages").expect("a column").as_list::<i32>().value(0);
        let contents = messages.as_struct().column(1).as_string::<i32>();
        assert_eq!((contents.value(0), contents.value(1)), ("q", "r"));
        let spans = batch.column_by_name("spans").expect("a column").as_list::<i32>().value(1);
        assert_eq!(spans.len(), 2);
        assert_eq!(batch_of(&[], "k", &Versions::default()).expect("fits").num_rows(), 0);
    }
}
