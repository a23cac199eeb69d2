//! Turns the readable page sources into shards: Parquet in the columns of FineWeb-2.
//!
//! **Why**: the chain reads what users have, so the project's own corpora take the same form. The same
//! sources give the same bytes, which a test checks against the committed shards.

use super::pages::{Page, pages_of};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Pages per row group: small, so that even the project's own shards have several.
const ROWS_PER_GROUP: usize = 16;

/// Writes `OUT/<lang>/NNN_NNNNN.parquet` for every `FROM/<lang>/NNN_NNNNN.txt`; returns the shards and their
/// numbers of rows, in order.
///
/// # Errors
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) if a source breaks its format, and
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a file cannot be read or written.
pub fn pack(from: &Path, out: &Path) -> Result<Vec<(PathBuf, usize)>> {
    let mut earlier = BTreeMap::new();
    let mut shards = Vec::new();
    for folder in listed(from)? {
        for source in listed(&folder)? {
            let text =
                fs::read_to_string(&source).map_err(|cause| away("source unreadable", &source, cause))?;
            let pages = pages_of(&text, &mut earlier)
                .map_err(|error| Error::new(error.kind(), format!("{error}, path={}", source.display())))?;
            let relative = source.strip_prefix(from).unwrap_or(&source).with_extension("parquet");
            let shard = out.join(relative);
            let bytes = shard_of(&pages)?;
            let parent = shard.parent().unwrap_or(out);
            fs::create_dir_all(parent).map_err(|cause| away("folder not made", parent, cause))?;
            fs::write(&shard, bytes).map_err(|cause| away("shard not written", &shard, cause))?;
            shards.push((shard, pages.len()));
        }
    }
    Ok(shards)
}

/// The bytes of one shard.
fn shard_of(pages: &[Page]) -> Result<Vec<u8>> {
    let strings = |cell: &dyn Fn(&Page) -> String| -> ArrayRef {
        Arc::new(pages.iter().map(|page| Some(cell(page))).collect::<StringArray>())
    };
    let part = |page: &Page, i: usize| page.language.split('_').nth(i).unwrap_or_default().to_owned();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", strings(&|page| page.text.clone())),
        ("id", strings(&|page| format!("<urn:xxh128:{:032x}>", xxh3_128(page.url.as_bytes())))),
        ("dump", strings(&|page| page.dump.clone())),
        ("url", strings(&|page| page.url.clone())),
        ("date", strings(&|page| page.date.clone())),
        ("file_path", strings(&|page| format!("written-for-the-project/{}", page.language))),
        ("language", strings(&|page| part(page, 0))),
        ("language_score", Arc::new(Float64Array::from(vec![1.0; pages.len()]))),
        ("language_script", strings(&|page| part(page, 1))),
        ("minhash_cluster_size", Arc::new(Int64Array::from(vec![1; pages.len()]))),
        ("top_langs", strings(&|_| "{}".to_owned())),
    ];
    let failed = |cause| Error::bug("shard not encoded").because(cause);
    let batch =
        RecordBatch::try_from_iter(columns).map_err(|cause| Error::bug("columns differ").because(cause))?;
    let level = ZstdLevel::try_new(9).map_err(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|cause| away("folder unreadable", folder, cause))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|cause| away("folder unreadable", folder, cause))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn away(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::unavailable(format!("{what}: path={}", path.display())).because(cause)
}
