//! Whole rows of a shard, all columns as they are: what a copy of the shard without some rows is made of.

use super::columns::ColumnSettings;
use super::decode::{Decode, Selected, Step};
use super::list::Shard;
use super::open::{Chunks, Open};
use super::shard::{Opened, guarded};
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescriptor;
use std::sync::Arc;

/// Rows that are decoded at a time.
const ROWS: usize = 512;

/// What a copy must have in common with the shard.
pub struct Shape {
    /// The columns as they are moved: text as bytes.
    pub arrow: SchemaRef,
    /// The columns as the shard declares them.
    pub parquet: SchemaDescriptor,
    /// Facts of the shard's footer; they hold the schema that other readers want.
    pub facts: Option<Vec<KeyValue>>,
    /// How its text is compressed.
    pub compression: Compression,
}

/// Reads the rows that stay, row group by row group.
pub struct Whole {
    opened: Arc<Opened>,
    gone: Vec<u32>,
    group: usize,
    decode: Option<Decode>,
}

impl Whole {
    /// Opens a shard. `gone` are the rows to leave out, ascending.
    ///
    /// # Errors
    /// As [`survey`](super::shard::survey).
    pub fn open(
        shard: &Shard,
        open: &dyn Open,
        columns: &ColumnSettings,
        gone: Vec<u32>,
    ) -> Result<(Self, Shape)> {
        let opened = Arc::new(Opened::new(shard, open, columns)?);
        let chunks = Chunks::new(shard, open)?;
        let meta = guarded(|| ParquetMetaDataReader::new().parse_and_finish(&chunks));
        let meta = meta.map_err(|cause| {
            Error::corpus(format!("shard malformed: path={}", shard.path.display())).because(cause)
        })?;
        let file = meta.file_metadata();
        let text = meta.row_groups().first().map(|group| group.column(opened.columns.text).compression());
        let shape = Shape {
            arrow: Arc::clone(opened.meta.schema()),
            parquet: file.schema_descr().clone(),
            facts: file.key_value_metadata().cloned(),
            compression: text.unwrap_or(Compression::UNCOMPRESSED),
        };
        Ok((Self { opened, gone, group: 0, decode: None }, shape))
    }

    /// The next rows, and whether no row of their row group follows; `None` after the last.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store fails,
    /// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) if a row does not decode.
    pub fn rows(&mut self) -> Result<Option<(RecordBatch, bool)>> {
        loop {
            if let Some(decode) = &mut self.decode {
                match decode.next()? {
                    Some(Step::Batch(from, batch)) => {
                        let ends = from + batch.num_rows() == decode.len();
                        return Ok(Some((batch, ends)));
                    }
                    Some(Step::Lost(from, cause)) => {
                        return Err(Error::corpus(format!(
                            "row does not decode outside of its text: shard={}, row={}, remedy=write the shard again, \
                             or leave --rows out",
                            self.opened.key,
                            decode.row(from)
                        ))
                        .because(cause));
                    }
                    None => self.decode = None,
                }
            }
            let Some((first, rows)) = self.opened.group(self.group) else { return Ok(None) };
            let from = self.gone.partition_point(|row| *row < first);
            let mut gone = self.gone.iter().skip(from).copied().peekable();
            let stays = |row: &u32| gone.next_if_eq(&(first + row)).is_none();
            let rows: Vec<u32> = (0..rows).filter(stays).collect();
            let leaves = (0..self.opened.meta.parquet_schema().num_columns()).collect();
            self.decode = Some(Decode::new(&self.opened, self.group, leaves, Selected::These(rows), ROWS));
            self.group += 1;
        }
    }
}
