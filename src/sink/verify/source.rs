//! The texts of some rows of a source shard, by plain Parquet.

use crate::sink::file::hash_of;
use crate::sink::manifest::ShardEntry;
use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowSelection, RowSelector,
};
use std::fs::File;
use std::iter::Peekable;
use std::path::Path;
use std::vec::IntoIter;

/// Rows that are decoded at a time: documents may be long.
const ROWS_PER_BATCH: usize = 64;

/// An open shard.
pub(super) struct Source {
    file: File,
    metadata: ArrowReaderMetadata,
    column: Vec<String>,
}

/// What became of opening one.
pub(super) enum State {
    /// It is the one that the manifest names.
    Same(Source),
    /// It has other bytes.
    Replaced,
    /// It cannot be read.
    Away(String),
}

impl Source {
    /// Opens a shard, and reads it once to see whether it is still the one.
    pub(super) fn open(path: &Path, entry: &ShardEntry) -> State {
        match hash_of(path) {
            Ok((_, digest)) if digest != entry.digest => return State::Replaced,
            Ok(_) => {}
            Err(cause) => return State::Away(cause.to_string()),
        }
        let opened = File::open(path).map_err(|cause| cause.to_string()).and_then(|file| {
            let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
            Ok((file, metadata.map_err(|cause| cause.to_string())?))
        });
        match opened {
            Ok((file, metadata)) => {
                let column = entry.text_column.split('.').map(str::to_owned).collect();
                State::Same(Self { file, metadata, column })
            }
            Err(why) => State::Away(why),
        }
    }

    /// The texts of `rows` (ascending, each once), read from front to back.
    pub(super) fn texts(&self, rows: &[u64]) -> Result<Texts, String> {
        let mut groups = Vec::new();
        let mut selectors = Vec::new();
        let mut wanted = rows.iter().copied().peekable();
        let mut found = Vec::new();
        let mut first = 0;
        for (i, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = first + u64::try_from(group.num_rows()).unwrap_or(0);
            let mut at = first;
            while let Some(row) = wanted.next_if(|row| *row < end) {
                selectors.push(RowSelector::skip(usize::try_from(row - at).unwrap_or(usize::MAX)));
                selectors.push(RowSelector::select(1));
                found.push(row);
                at = row + 1;
            }
            if at > first {
                groups.push(i);
                selectors.push(RowSelector::skip(usize::try_from(end - at).unwrap_or(usize::MAX)));
            }
            first = end;
        }
        let file = self.file.try_clone().map_err(|cause| cause.to_string())?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), [self.column.join(".").as_str()]);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from(selectors))
            .with_batch_size(ROWS_PER_BATCH)
            .build();
        let reader = reader.map_err(|cause| cause.to_string())?;
        let nothing = LargeStringArray::new_null(0);
        Ok(Texts {
            reader,
            column: self.column.clone(),
            batch: nothing,
            next: 0,
            rows: found.into_iter().peekable(),
        })
    }
}

/// Texts of some rows of a shard, from front to back.
pub(super) struct Texts {
    reader: ParquetRecordBatchReader,
    column: Vec<String>,
    batch: LargeStringArray,
    next: usize,
    rows: Peekable<IntoIter<u64>>,
}

impl Texts {
    /// The text of a row; `None` if it is null, not in the shard, or behind. The same row may be sought again.
    pub(super) fn seek(&mut self, row: u64) -> Result<Option<&str>, String> {
        while self.rows.next_if(|at| *at < row).is_some() {
            self.next += 1;
        }
        if self.rows.peek() != Some(&row) {
            return Ok(None);
        }
        while self.next >= self.batch.len() {
            self.next -= self.batch.len();
            match self.reader.next() {
                Some(batch) => self.batch = self.text_of(&batch.map_err(|cause| cause.to_string())?)?,
                None => return Err("it ends early".to_owned()),
            }
        }
        Ok(self.batch.is_valid(self.next).then(|| self.batch.value(self.next)))
    }

    fn text_of(&self, batch: &RecordBatch) -> Result<LargeStringArray, String> {
        let missing = || format!("no column of text: {}", self.column.join("."));
        let mut names = self.column.iter();
        let top = names.next().and_then(|name| batch.column_by_name(name)).cloned();
        let column = names.try_fold(top.ok_or_else(missing)?, |column, name| {
            column.as_struct_opt()?.column_by_name(name).cloned()
        });
        let column: ArrayRef = column.ok_or_else(missing)?;
        let texts = cast(&column, &DataType::LargeUtf8).map_err(|cause| cause.to_string())?;
        texts.as_string_opt::<i64>().cloned().ok_or_else(missing)
    }
}
