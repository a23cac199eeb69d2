//! One Parquet shard: its footer, its columns and its row groups.
//!
//! **Why**: a broken shard must be named before any work, so [`survey`] opens every footer first. Every text is
//! read as bytes, whatever type the shard declares: then a row that is not UTF-8 is that row's fault alone,
//! views spare a copy, and no offset can overflow.

use super::columns::{ColumnSettings, Columns};
use super::list::Shard;
use super::open::{Chunks, Open};
use crate::error::{Error, Result};
use crate::workers::{cores, in_parallel};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a footer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Rows of the shard.
    pub rows: u32,
    /// Rows of each row group.
    pub row_groups: Vec<u32>,
    /// Bytes of text: what the writer counted, or else the size of the column less its compression.
    pub text_bytes: u64,
    /// Where text and lineage stand.
    pub columns: Columns,
    /// The name of the text column; dots lead into structs.
    pub text_column: String,
}

/// Opens every footer, in order.
///
/// # Errors
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) for the first shard that is malformed or lacks a column,
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) for one that cannot be read.
pub fn survey(shards: &[Shard], open: &dyn Open, columns: &ColumnSettings) -> Result<Vec<Survey>> {
    in_parallel("survey", shards.len(), cores(), |at| {
        Opened::new(&shards[at], open, columns).map(|opened| opened.survey())
    })
}

/// A shard whose footer was read.
pub(super) struct Opened {
    pub(super) key: String,
    pub(super) chunks: Chunks,
    pub(super) meta: ArrowReaderMetadata,
    pub(super) columns: Columns,
    /// First row of each row group, and the number of rows last.
    pub(super) bounds: Vec<u32>,
}

impl Opened {
    pub(super) fn new(shard: &Shard, open: &dyn Open, settings: &ColumnSettings) -> Result<Self> {
        let chunks = Chunks::new(shard, open)?;
        let meta = guarded(|| {
            let meta = ParquetMetaDataReader::new().parse_and_finish(&chunks)?;
            as_bytes(meta)
        });
        let meta = meta.map_err(|cause| match chunks.failure() {
            Some(failure) => Error::unavailable(format!("shard unreadable: path={}", shard.path.display())).because(failure),
            None => Error::corpus(format!(
                "shard malformed: path={}, bytes={}, cause={cause}, remedy=write it again or take it out of the input",
                shard.path.display(),
                shard.bytes
            ))
            .because(cause),
        })?;
        let columns = Columns::recognise(meta.parquet_schema(), settings, &shard.key)?;
        let mut bounds = vec![0];
        let mut first = 0_u32;
        for group in meta.metadata().row_groups() {
            // One value a row: a footer that counts otherwise would have us note rows that never were.
            let values = group.columns().get(columns.text).map(ColumnChunkMetaData::num_values);
            let rows = u32::try_from(group.num_rows()).ok().filter(|_| values == Some(group.num_rows()));
            first = rows.and_then(|rows| first.checked_add(rows)).ok_or_else(|| {
                Error::corpus(format!(
                    "shard has an impossible number of rows: path={}, rows={}, texts={}, most={}, remedy=write it again, in parts",
                    shard.path.display(),
                    group.num_rows(),
                    values.unwrap_or(0),
                    u32::MAX
                ))
            })?;
            bounds.push(first);
        }
        Ok(Self { key: shard.key.clone(), chunks, meta, columns, bounds })
    }

    pub(super) fn survey(&self) -> Survey {
        let text = self.meta.metadata().row_groups().iter().map(|group| {
            let column = group.column(self.columns.text);
            let bytes = column.unencoded_byte_array_data_bytes().unwrap_or(column.uncompressed_size());
            u64::try_from(bytes).unwrap_or(0)
        });
        Survey {
            rows: self.bounds.last().copied().unwrap_or(0),
            row_groups: self
                .bounds
                .windows(2)
                .map(|pair| pair.last().zip(pair.first()).map_or(0, |(b, a)| b - a))
                .collect(),
            text_bytes: text.fold(0, u64::saturating_add),
            columns: self.columns.clone(),
            text_column: self.meta.parquet_schema().column(self.columns.text).path().string(),
        }
    }

    /// First row and number of rows of a row group.
    pub(super) fn group(&self, group: usize) -> Option<(u32, u32)> {
        let first = *self.bounds.get(group)?;
        Some((first, self.bounds.get(group + 1)? - first))
    }

    /// The row group of a row.
    pub(super) fn group_of(&self, row: u32) -> Option<usize> {
        // Empty groups share their bound with the next one: take the last that starts at or before the row.
        let after = self.bounds.partition_point(|first| *first <= row);
        after.checked_sub(1).filter(|group| group + 1 < self.bounds.len())
    }

    /// Bytes of text in a row of this group, on average, from the footer; at least 1.
    pub(super) fn row_bytes(&self, group: usize) -> u64 {
        let Some(meta) = self.meta.metadata().row_groups().get(group) else { return 1 };
        let bytes = u64::try_from(meta.column(self.columns.text).uncompressed_size()).unwrap_or(1);
        (bytes / u64::try_from(meta.num_rows().max(1)).unwrap_or(1)).max(1)
    }
}

/// Runs a decoder on bytes that anyone may have written: its panics are the file's fault too.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ParquetError::General("the decoder panicked".into())))
}

/// The same shard with every text and binary column declared as plain bytes, read as views.
fn as_bytes(meta: ParquetMetaData) -> Result<ArrowReaderMetadata, ParquetError> {
    let file = meta.file_metadata();
    let schema = Arc::new(SchemaDescriptor::new(plain(file.schema_descr().root_schema_ptr(), true)?));
    let views = Schema::new(viewed(parquet_to_arrow_schema(&schema, None)?.fields()));
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        None,
        schema,
        None,
    );
    let meta = ParquetMetaData::new(file, meta.row_groups().to_vec());
    ArrowReaderMetadata::try_new(Arc::new(meta), ArrowReaderOptions::new().with_schema(Arc::new(views)))
}

/// The type without what it says of the meaning of its bytes.
fn plain(of: TypePtr, root: bool) -> Result<TypePtr, ParquetError> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if of.is_group() {
        let fields =
            of.get_fields().iter().map(|field| plain(Arc::clone(field), false)).collect::<Result<_, _>>()?;
        let group = Type::group_type_builder(of.name())
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_fields(fields)
            .with_id(id);
        let group = if root { group } else { group.with_repetition(info.repetition()) };
        return group.build().map(Arc::new);
    }
    if of.get_physical_type() != Physical::BYTE_ARRAY {
        return Ok(of);
    }
    Type::primitive_type_builder(of.name(), Physical::BYTE_ARRAY)
        .with_repetition(info.repetition())
        .with_converted_type(ConvertedType::NONE)
        .with_id(id)
        .build()
        .map(Arc::new)
}

/// The fields with bytes as views, down through structs.
fn viewed(fields: &Fields) -> Fields {
    let view = |field: &FieldRef| -> FieldRef {
        let to = match field.data_type() {
            DataType::Binary => DataType::BinaryView,
            DataType::Struct(fields) => DataType::Struct(viewed(fields)),
            _ => return Arc::clone(field),
        };
        Arc::new(Field::clone(field).with_data_type(to))
    };
    fields.iter().map(view).collect()
}
