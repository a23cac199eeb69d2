//! What stays of a shard's parts when a few of their row groups are written anew: the others are copied as they are.
//!
//! **Why**: a row group is a fixed block of source rows, and its bytes are a function of its rows. So the compressed bytes of
//! a block whose selected rows are the same can be moved into the new file, and that is the file that a fresh write would
//! give, to the byte. A part that is not the one its manifest names is never copied from: it is written anew as a whole.

use super::file::hash_of;
use super::manifest::{Ended, Part};
use crate::error::{Error, Result};
use crate::model::Lang;
use arrow::array::AsArray;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::SortOrder;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    RowGroupMetaData,
};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What stays of one shard.
#[derive(Debug)]
pub(crate) struct Splice {
    /// Fingerprint of all that is selected of it now.
    pub(crate) selected: u128,
    /// By lang; langs that are new or gone have no entry.
    pub(crate) langs: BTreeMap<Lang, Stays>,
}

/// What stays of a part.
#[derive(Debug)]
pub(crate) enum Stays {
    /// All of it.
    Whole(Part),
    /// Some of its row groups, with their blocks and in their order, and some of the rows that ended.
    Groups { path: PathBuf, groups: VecDeque<(u32, usize)>, ended: Vec<Ended> },
}

/// What stays, by shard: said before the rows that are written anew are asked for, taken when the first of them comes.
#[derive(Debug, Clone, Default)]
pub struct Splices {
    shards: Arc<Mutex<BTreeMap<u32, Splice>>>,
    copied: Arc<AtomicU64>,
}

impl Splices {
    pub(crate) fn put(&self, shard: u32, splice: Splice) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, splice);
    }

    pub(crate) fn take(&self, shard: u32) -> Option<Splice> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard)
    }

    pub(crate) fn count_copied(&self) {
        self.copied.fetch_add(1, Ordering::Relaxed);
    }

    /// Row groups that were copied as they are.
    pub fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }
}

impl Stays {
    /// What stays of a part in the store when these blocks change; `None` if it is not what its manifest says, or not cut
    /// into blocks of `block_rows`.
    pub(crate) fn of(part: &Part, store: &Path, changed: &BTreeSet<u32>, block_rows: u32) -> Option<Self> {
        let ended: Vec<Ended> = part
            .ended
            .iter()
            .filter(|ended| !changed.contains(&(ended.row() / block_rows)))
            .cloned()
            .collect();
        if part.rows == 0 {
            return Some(Self::Groups { path: PathBuf::new(), groups: VecDeque::new(), ended });
        }
        let path = store.join(part.lang.tag()).join(&part.name);
        if hash_of(&path).ok()? != (part.bytes, part.hash) {
            return None;
        }
        let meta = footer(&File::open(&path).ok()?).ok()?;
        let blocks: Option<Vec<u32>> =
            meta.row_groups().iter().map(|group| block(group, block_rows)).collect();
        let groups = blocks?.into_iter().zip(0..).filter(|(block, _)| !changed.contains(block)).collect();
        Some(Self::Groups { path, groups, ended })
    }
}

/// The block that all rows of a row group belong to.
fn block(group: &RowGroupMetaData, block_rows: u32) -> Option<u32> {
    let row = group.columns().iter().find(|column| column.column_path().parts() == ["row"])?;
    let Statistics::Int64(rows) = row.statistics()? else { return None };
    let of = |row: &i64| Some(u32::try_from(*row).ok()? / block_rows);
    let (first, last) = (of(rows.min_opt()?)?, of(rows.max_opt()?)?);
    (first == last).then_some(first)
}

/// With everything that a fresh write knows of a row group.
fn footer(file: &File) -> Result<ParquetMetaData, ParquetError> {
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    ParquetMetaDataReader::new()
        .with_metadata_options(Some(options))
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(file)
}

/// A part whose row groups are copied.
pub(crate) struct Old {
    path: PathBuf,
    file: File,
    arrow: ArrowReaderMetadata,
}

impl Old {
    /// Opens it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it cannot be read any more.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|cause| super::file::away("part not read", path, cause))?;
        let opened = footer(&file)
            .and_then(|meta| ArrowReaderMetadata::try_new(Arc::new(meta), ArrowReaderOptions::new()));
        let arrow = opened.map_err(|cause| unreadable(path, cause))?;
        Ok(Self { path: path.to_owned(), file, arrow })
    }

    /// Rows of a row group.
    pub(crate) fn rows(&self, group: usize) -> u64 {
        let rows = self.arrow.metadata().row_groups().get(group).map_or(0, RowGroupMetaData::num_rows);
        u64::try_from(rows).unwrap_or(0)
    }

    /// The licence of each row of a row group.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn licenses(&self, group: usize, mut each: impl FnMut(&str)) -> Result<()> {
        let failed = |cause: ParquetError| unreadable(&self.path, cause);
        let file =
            self.file.try_clone().map_err(|cause| super::file::away("part not read", &self.path, cause))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.arrow.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["license"]);
        let reader = builder.with_row_groups(vec![group]).with_projection(mask).build().map_err(failed)?;
        for batch in reader {
            let batch = batch.map_err(|cause| unreadable(&self.path, cause.into()))?;
            let texts = batch.column_by_name("license").and_then(|column| column.as_string_opt::<i32>());
            let texts = texts.ok_or_else(|| Error::bug("a part without its license column"))?;
            texts.iter().for_each(|text| each(text.unwrap_or_default()));
        }
        Ok(())
    }

    /// Copies a row group.
    ///
    /// # Errors
    /// Those of the file that it is copied to, and of reading.
    pub(crate) fn copy<W: Write + Send>(
        &self,
        group: usize,
        mut to: SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let Some(from) = self.arrow.metadata().row_groups().get(group) else {
            return Err(ParquetError::General(format!("row group missing: {group}")));
        };
        let pages = self.arrow.metadata().page_index_for_row_group(group);
        for (at, column) in from.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: self.rows(group),
                metadata: as_written(column)?,
                bloom_filter: None,
                column_index: pages.column_index(at).cloned(),
                offset_index: pages.offset_index(at).cloned(),
            };
            to.append_column(&self.file, close)?;
        }
        to.close()?;
        Ok(())
    }
}

/// What a writer knows of a column. A reader forgets that the least and greatest of signed numbers stand twice, in the
/// fields of now and in those of old (`Statistics.min`, `.max` of the format, deprecated).
fn as_written(column: &ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    let twice = column.column_descr().sort_order() == SortOrder::SIGNED;
    let statistics = match column.statistics() {
        Some(Statistics::Int32(of)) => Statistics::Int32(of.clone().with_backwards_compatible_min_max(twice)),
        Some(Statistics::Int64(of)) => Statistics::Int64(of.clone().with_backwards_compatible_min_max(twice)),
        Some(Statistics::Double(of)) => {
            Statistics::Double(of.clone().with_backwards_compatible_min_max(twice))
        }
        _ => return Ok(column.clone()),
    };
    column.clone().into_builder().set_statistics(statistics).build()
}

fn unreadable(path: &Path, cause: ParquetError) -> Error {
    Error::unavailable(format!(
        "part not read: path={}, remedy=run again, it is then written anew as a whole",
        path.display()
    ))
    .because(cause)
}
