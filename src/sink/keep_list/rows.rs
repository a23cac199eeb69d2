//! Writes the kept rows themselves, a file per shard, in the shape of the shard.
//!
//! **Why**: who wants a deduplicated copy wants the same columns of the same types. Values are moved as bytes, whatever
//! the shard says of their meaning, and the shard's own schema and facts are written over them; so a column that is
//! nobody's business here, or text that is not UTF-8 there, costs nothing and changes nothing.

use super::lists::Lists;
use super::manifest::{KeepList, ListFile};
use crate::error::{Error, Result};
use crate::model::Place;
use crate::sink::file::ContentFile;
use crate::sink::names::is_plain;
use crate::sink::part::failed;
use crate::source::whole::{Shape, Whole};
use crate::workers::in_parallel;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use std::fs;

/// Writes the rows that are not among `out` (by place), on `threads` threads. A shard of which nothing stays has no file.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a shard or the disk fails, and
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) if a kept row does not decode outside of its text.
pub fn kept_rows(lists: &Lists<'_>, out: &[Place], threads: usize) -> Result<Vec<ListFile>> {
    let files = in_parallel("rows", lists.shards.len(), threads, |at| shard_rows(lists, at, out))?;
    Ok(files.into_iter().flatten().collect())
}

fn shard_rows(lists: &Lists<'_>, at: usize, out: &[Place]) -> Result<Option<ListFile>> {
    let (Some(shard), Some(survey)) = (lists.shards.get(at), lists.surveys.get(at)) else { return Ok(None) };
    let number = u32::try_from(at).unwrap_or(u32::MAX);
    let from = out.partition_point(|place| place.shard < number);
    let to = out.partition_point(|place| place.shard <= number);
    let gone: Vec<u32> = out.get(from..to).unwrap_or_default().iter().map(|place| place.row).collect();
    if gone.len() >= survey.rows as usize {
        return Ok(None);
    }
    let made_from = lists.made_from(at, &gone);
    if let Some(known) = lists.known.iter().find(|known| known.made_from == made_from) {
        let path = lists.store.join(KeepList::ROWS).join(&known.name);
        if is_plain(&known.name) && fs::metadata(path).is_ok_and(|meta| meta.len() == known.bytes) {
            return Ok(Some(ListFile { stored: known.name.clone(), ..known.clone() }));
        }
    }
    let (mut whole, Shape { arrow, parquet, facts, compression }) =
        Whole::open(shard, lists.open, lists.columns, gone)?;
    let file = ContentFile::create(&lists.store.join(KeepList::ROWS), &shard.key)?;
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by("isogloss".to_owned())
        .set_key_value_metadata(facts)
        .set_max_row_group_row_count(None)
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_parquet_schema(parquet)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, arrow, options)
        .map_err(|cause| Error::bug("rows not started").because(cause))?;
    let mut rows = 0;
    while let Some((batch, ends)) = whole.rows()? {
        rows += batch.num_rows() as u64;
        let written = writer.write(&batch).and_then(|()| if ends { writer.flush() } else { Ok(()) });
        written.map_err(|cause| failed(writer.inner().temporary(), cause))?;
    }
    let path = writer.inner().temporary().to_owned();
    let stored = writer.into_inner().map_err(|cause| failed(&path, cause))?.finish()?;
    Ok(Some(ListFile {
        folder: KeepList::ROWS.to_owned(),
        name: stored.name.clone(),
        stored: stored.name,
        rows,
        bytes: stored.bytes,
        hash: stored.hash,
        made_from,
    }))
}
