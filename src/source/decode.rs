//! Decodes wanted rows of one row group, up to the first that does not decode.
//!
//! **Why**: which rows of a broken row group are lost must be a property of the file. A batch that fails is
//! read again row by row, so that batch sizes, which are settings, decide nothing.

use super::open::changed;
use super::shard::{Opened, guarded};
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::errors::ParquetError;
use std::sync::Arc;

/// Rows of a row group, counted from its first.
#[derive(Debug, Clone)]
pub(super) enum Selected {
    /// The first `n`.
    First(u32),
    /// These, in order, each once.
    These(Vec<u32>),
}

impl Selected {
    fn len(&self) -> usize {
        match self {
            Self::First(rows) => *rows as usize,
            Self::These(rows) => rows.len(),
        }
    }

    /// The row at a position.
    fn row(&self, at: usize) -> u32 {
        match self {
            Self::First(_) => u32::try_from(at).unwrap_or(u32::MAX),
            Self::These(rows) => rows.get(at).copied().unwrap_or(u32::MAX),
        }
    }

    /// From a position on, as the Parquet reader wants it.
    fn selection(&self, from: usize) -> RowSelection {
        match self {
            Self::First(rows) => {
                let left = (*rows as usize).saturating_sub(from);
                RowSelection::from(vec![RowSelector::skip(from), RowSelector::select(left)])
            }
            Self::These(rows) => {
                let mut selectors = Vec::new();
                let mut next = 0;
                for row in rows.iter().skip(from) {
                    selectors.push(RowSelector::skip((row - next) as usize));
                    selectors.push(RowSelector::select(1));
                    next = row + 1;
                }
                RowSelection::from(selectors)
            }
        }
    }
}

/// What comes next.
pub(super) enum Step {
    /// The rows at positions `from..from + batch.num_rows()`.
    Batch(usize, RecordBatch),
    /// The rows from this position on do not decode.
    Lost(usize, ParquetError),
}

/// The decoder of one row group.
pub(super) struct Decode {
    opened: Arc<Opened>,
    group: usize,
    leaves: Vec<usize>,
    rows: Selected,
    batch_rows: usize,
    at: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl Decode {
    pub(super) fn new(
        opened: &Arc<Opened>,
        group: usize,
        leaves: Vec<usize>,
        rows: Selected,
        batch_rows: usize,
    ) -> Self {
        Self {
            opened: Arc::clone(opened),
            group,
            leaves,
            rows,
            batch_rows: batch_rows.max(1),
            at: 0,
            reader: None,
        }
    }

    /// The row group.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// How many rows it reads.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of the shard at a position.
    pub(super) fn row(&self, at: usize) -> u32 {
        let first = self.opened.group(self.group).map_or(0, |(first, _)| first);
        first.saturating_add(self.rows.row(at))
    }

    /// The next step; `None` after the last row or the first lost one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store fails, which says nothing of the
    /// shard.
    pub(super) fn next(&mut self) -> Result<Option<Step>> {
        while self.at < self.rows.len() {
            match self.batch() {
                Ok(batch) => {
                    let from = self.at;
                    self.at += batch.num_rows();
                    return Ok(Some(Step::Batch(from, batch)));
                }
                Err(cause) => {
                    self.reader = None;
                    if let Some(failure) = self.opened.chunks.failure() {
                        return Err(Error::unavailable(format!(
                            "shard unreadable: shard={}",
                            self.opened.key
                        ))
                        .because(failure));
                    }
                    if self.batch_rows > 1 {
                        self.batch_rows = 1;
                        continue;
                    }
                    let from = std::mem::replace(&mut self.at, self.rows.len());
                    return Ok(Some(Step::Lost(from, cause)));
                }
            }
        }
        Ok(None)
    }

    fn batch(&mut self) -> Result<RecordBatch, ParquetError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => guarded(|| self.start())?,
        };
        let (next, reader) = guarded(move || Ok((reader.next(), reader)))?;
        self.reader = Some(reader);
        let batch = next.ok_or_else(|| ParquetError::EOF("fewer rows than the footer says".into()))??;
        match batch.num_rows() {
            0 => Err(ParquetError::EOF("fewer rows than the footer says".into())),
            rows if rows > self.rows.len() - self.at => {
                Err(ParquetError::General("more rows than asked for".into()))
            }
            _ => Ok(batch),
        }
    }

    fn start(&self) -> Result<ParquetRecordBatchReader, ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.opened.chunks.clone(),
            self.opened.meta.clone(),
        );
        let mask = ProjectionMask::leaves(builder.parquet_schema(), self.leaves.iter().copied());
        builder
            .with_row_groups(vec![self.group])
            .with_projection(mask)
            .with_row_selection(self.rows.selection(self.at))
            .with_batch_size(self.batch_rows)
            .build()
    }

    /// The error of a row that decoded once and does not any more.
    pub(super) fn vanished(&self, at: usize, cause: ParquetError) -> Error {
        let facts = format!("row_group={}, row={}", self.group, self.row(at));
        changed(&self.opened.key, &facts).because(cause)
    }
}
