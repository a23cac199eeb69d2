//! Writes one part: the rows of one lang of one shard, in the order of their places.
//!
//! **Why**: the bytes must be a function of the rows alone, so rows are encoded in steps that the rows decide, never
//! in those of the bundles that brought them. A row group is a fixed block of source rows, so that a later change
//! of one row touches one row group and the others can be copied as they are.

use super::columns::{COLUMNS, Versions, batch_of, properties};
use super::file::{ContentFile, Stored};
use super::splice::Old;
use crate::error::{Error, Result};
use crate::model::{Exchange, Lang};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use std::path::{Path, PathBuf};

/// Rows that are encoded at a time.
const ROWS_PER_STEP: usize = 256;

/// Bytes of text that are encoded at a time: far under what an offset of 32 bits can say.
const BYTES_PER_STEP: usize = 8 << 20;

/// Bytes of text after which a row group ends before its block does: what bounds the memory of a writer.
const BYTES_PER_GROUP: usize = 64 << 20;

/// A part on its way.
pub struct PartWriter {
    writer: SerializedFileWriter<ContentFile>,
    columns: ArrowRowGroupWriterFactory,
    /// The row group that is being encoded.
    group: Option<Vec<ArrowColumnWriter>>,
    temporary: PathBuf,
    shard_key: String,
    block_rows: u32,
    pending: Vec<Exchange>,
    pending_bytes: usize,
    block: u32,
    block_bytes: usize,
    rows: u64,
}

impl PartWriter {
    /// Starts the part of a lang in the store, with a row group per `block_rows` source rows.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the file cannot be made.
    pub fn create(
        store: &Path,
        lang: Lang,
        shard_key: &str,
        fingerprint: u128,
        block_rows: u32,
    ) -> Result<Self> {
        let file = ContentFile::create(&store.join(lang.tag()), shard_key)?;
        let temporary = file.temporary().to_owned();
        let options = ArrowWriterOptions::new()
            .with_properties(properties(fingerprint)?)
            .with_skip_arrow_metadata(true);
        let (writer, columns) = ArrowWriter::try_new_with_options(file, COLUMNS.clone(), options)
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|cause| Error::bug("part not started").because(cause))?;
        Ok(Self {
            writer,
            columns,
            group: None,
            temporary,
            shard_key: shard_key.to_owned(),
            block_rows: block_rows.max(1),
            pending: Vec::new(),
            pending_bytes: 0,
            block: 0,
            block_bytes: 0,
            rows: 0,
        })
    }

    /// Adds a row; its place is greater than that of every row before it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub fn push(&mut self, row: Exchange, versions: &Versions) -> Result<()> {
        let block = row.place.row / self.block_rows;
        if self.rows > 0 && (block != self.block || self.block_bytes >= BYTES_PER_GROUP) {
            self.end_group(versions)?;
        }
        self.block = block;
        self.rows += 1;
        let bytes = row.text_bytes();
        self.pending_bytes += bytes;
        self.block_bytes += bytes;
        self.pending.push(row);
        if self.pending.len() >= ROWS_PER_STEP || self.pending_bytes >= BYTES_PER_STEP {
            self.encode(versions)?;
        }
        Ok(())
    }

    /// Adds a row group of another part as it is: a block, or a piece of one, after all rows so far.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn copy(&mut self, from: &Old, group: usize, versions: &Versions) -> Result<()> {
        self.end_group(versions)?;
        let copied = self.writer.next_row_group().and_then(|to| from.copy(group, to));
        copied.map_err(|cause| failed(&self.temporary, cause))?;
        self.rows += from.rows(group);
        Ok(())
    }

    /// Makes the part durable under its name; returns its rows with it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub fn finish(mut self, versions: &Versions) -> Result<(Stored, u64)> {
        self.end_group(versions)?;
        let file = self.writer.into_inner().map_err(|cause| failed(&self.temporary, cause))?;
        Ok((file.finish()?, self.rows))
    }

    fn end_group(&mut self, versions: &Versions) -> Result<()> {
        self.encode(versions)?;
        self.block_bytes = 0;
        let Some(columns) = self.group.take() else { return Ok(()) };
        let ended = self.writer.next_row_group().and_then(|mut group| {
            for column in columns {
                column.close()?.append_to_row_group(&mut group)?;
            }
            group.close()
        });
        ended.map(drop).map_err(|cause| failed(&self.temporary, cause))
    }

    fn encode(&mut self, versions: &Versions) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = batch_of(&self.pending, &self.shard_key, versions)?;
        self.pending.clear();
        self.pending_bytes = 0;
        let columns = match self.group.take() {
            Some(columns) => Ok(columns),
            None => self.columns.create_column_writers(self.writer.flushed_row_groups().len()),
        };
        let encoded = columns.and_then(|mut columns| {
            let mut writers = columns.iter_mut();
            for (field, column) in COLUMNS.fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, column)? {
                    let missing = || ParquetError::General("a leaf without its column".to_owned());
                    writers.next().ok_or_else(missing)?.write(&leaf)?;
                }
            }
            Ok(columns)
        });
        self.group = Some(encoded.map_err(|cause| failed(&self.temporary, cause))?);
        Ok(())
    }
}

/// What Parquet says when the disk under it fails.
pub fn failed(path: &Path, cause: parquet::errors::ParquetError) -> Error {
    Error::unavailable(format!("file not written: path={}, remedy=free space and run again", path.display()))
        .because(cause)
}
