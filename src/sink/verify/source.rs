//! The texts of some rows of a source shard, by plain Parquet.

use crate::sink::file::hash_of;
use crate::sink::manifest::ShardEntry;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Rows that are decoded at a time.
const ROWS_PER_BATCH: usize = 256;

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

    /// The texts of `rows` (ascending, each once), one after the other; `None` for a null or a row that is not there.
    pub(super) fn texts(
        &self,
        rows: &[u64],
        mut each: impl FnMut(u64, Option<&str>),
    ) -> Result<(), String> {
        let told = |cause: &dyn std::fmt::Display| cause.to_string();
        // Rows that row groups hold, counted from the first of the groups that are read.
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
        let file = self.file.try_clone().map_err(|cause| told(&cause))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let path = self.column.join(".");
        let mask = ProjectionMask::columns(builder.parquet_schema(), [path.as_str()]);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from(selectors))
            .with_batch_size(ROWS_PER_BATCH)
            .build()
            .map_err(|cause| told(&cause))?;
        let mut found = found.into_iter();
        for batch in reader {
            let batch = batch.map_err(|cause| told(&cause))?;
            let mut names = self.column.iter();
            let top = names.next().and_then(|name| batch.column_by_name(name)).cloned();
            let column = names.try_fold(top.ok_or_else(|| format!("no column {path}"))?, |column, name| {
                column.as_struct_opt()?.column_by_name(name).cloned()
            });
            let column: ArrayRef = column.ok_or_else(|| format!("no column {path}"))?;
            let texts = cast(&column, &DataType::LargeUtf8).map_err(|cause| told(&cause))?;
            let texts = texts.as_string_opt::<i64>().ok_or_else(|| format!("no text in column {path}"))?;
            for (i, row) in (0..texts.len()).zip(found.by_ref()) {
                each(row, texts.is_valid(i).then(|| texts.value(i)));
            }
        }
        found.chain(wanted).for_each(|row| each(row, None));
        Ok(())
    }
}

/// The texts of `rows`, by row.
pub(super) fn texts_of(source: &Source, rows: &[u64]) -> Result<BTreeMap<u64, Option<String>>, String> {
    let mut texts = BTreeMap::new();
    source.texts(rows, |row, text| {
        texts.insert(row, text.map(str::to_owned));
    })?;
    Ok(texts)
}
