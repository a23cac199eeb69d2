//! The first reading of a row group: its readable rows in small batches, and a note for every other row.

use super::cells::Record;
use super::columns::Langs;
use super::decode::{Decode, Selected, Step};
use super::settings::SourceSettings;
use super::shard::Opened;
use crate::error::Result;
use crate::model::{Lang, Lineage, Note, Place, Reason, Row, Rows, Stage, Verdict, Weight};
use arrow::array::RecordBatch;
use std::ops::Range;
use std::sync::Arc;

/// What the reader hands over at once. Every row of a row group is in one chunk's rows or notes.
#[derive(Debug, Default, PartialEq)]
pub struct Chunk {
    /// Readable rows; may be none.
    pub rows: Rows,
    /// Faulted rows.
    pub notes: Vec<Note>,
    /// It is the last of its row group.
    pub ended: bool,
    /// The number of its row group in the queue.
    pub number: u64,
}

/// Reads one row group.
pub(super) struct GroupRows {
    shard: u32,
    opened: Arc<Opened>,
    decode: Decode,
    limits: Limits,
    langs: Langs,
    /// Decoded and not yet handed over: the batch, its first position and how many of its rows are.
    open: Option<(RecordBatch, usize, usize)>,
    /// Positions that are lost.
    lost: Range<usize>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Limits {
    rows: usize,
    bytes: u64,
    row_bytes: usize,
}

impl GroupRows {
    pub(super) fn new(shard: u32, opened: &Arc<Opened>, group: usize, settings: &SourceSettings) -> Self {
        let rows = opened.group(group).map_or(0, |(_, rows)| rows);
        let limits = Limits {
            rows: settings.batch_rows as usize,
            bytes: settings.batch_bytes.into(),
            row_bytes: settings.most_row_bytes as usize,
        };
        // Decode about as much as is handed over, whatever the size of a row.
        let fit = usize::try_from(limits.bytes / opened.row_bytes(group)).unwrap_or(usize::MAX);
        let decode = Decode::new(
            opened,
            group,
            opened.columns.front(),
            Selected::First(rows),
            fit.clamp(1, limits.rows),
        );
        Self {
            shard,
            opened: Arc::clone(opened),
            decode,
            limits,
            langs: Langs::default(),
            open: None,
            lost: 0..0,
            ended: false,
        }
    }

    /// The next chunk; `None` after the one that ended the row group.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>> {
        if self.ended {
            return Ok(None);
        }
        let mut chunk = Chunk { rows: Rows { shard: self.shard, ..Rows::default() }, ..Chunk::default() };
        loop {
            if self.fill(&mut chunk) {
                return Ok(Some(chunk));
            }
            match self.decode.next()? {
                Some(Step::Batch(from, batch)) => self.open = Some((batch, from, 0)),
                Some(Step::Lost(from, cause)) => {
                    self.lost = from..self.decode.len();
                    tracing::warn!(
                        shard = self.opened.key, row = self.decode.row(from),
                        lost = self.lost.len(), %cause, "row group does not decode"
                    );
                }
                None => {
                    self.ended = true;
                    chunk.ended = true;
                    return Ok(Some(chunk));
                }
            }
        }
    }

    /// Moves what is decoded to the chunk; true once it is full.
    fn fill(&mut self, chunk: &mut Chunk) -> bool {
        while !self.lost.is_empty() {
            if chunk.notes.len() >= self.limits.rows {
                return true;
            }
            let place = Place::of_row(self.shard, self.decode.row(self.lost.start));
            let verdict = Verdict::faulted(Stage::Read, Reason::Unreadable, 1.0);
            chunk.notes.push(Note { place, lang: Lang::UND, verdict });
            self.lost.start += 1;
        }
        let Some((batch, from, mut done)) = self.open.take() else { return false };
        let record = Record::of(&batch, self.opened.meta.parquet_schema(), &self.opened.columns);
        let mut full = false;
        while done < batch.num_rows() {
            let row = self.decode.row(from + done);
            match readable(&record, done, self.limits.row_bytes) {
                Ok(text) => {
                    let bytes = text.len() as u64;
                    let over = chunk.rows.weight.bytes + bytes > self.limits.bytes;
                    if chunk.rows.rows.len() >= self.limits.rows || (over && !chunk.rows.rows.is_empty()) {
                        full = true;
                        break;
                    }
                    let lang = record.lang(done, &mut self.langs);
                    chunk.rows.weight =
                        Weight { rows: chunk.rows.weight.rows + 1, bytes: chunk.rows.weight.bytes + bytes };
                    chunk.rows.rows.push(Row {
                        row,
                        text: text.to_owned(),
                        lang,
                        lineage: Lineage::default(),
                    });
                }
                Err((reason, value)) => {
                    if chunk.notes.len() >= self.limits.rows {
                        full = true;
                        break;
                    }
                    let lang = record.lang(done, &mut self.langs);
                    let verdict = Verdict::faulted(Stage::Read, reason, value);
                    chunk.notes.push(Note { place: Place::of_row(self.shard, row), lang, verdict });
                }
            }
            done += 1;
        }
        drop(record);
        if full {
            self.open = Some((batch, from, done));
        }
        full
    }
}

/// The text of a row, or why it is none.
fn readable<'a>(record: &Record<'a>, row: usize, most: usize) -> Result<&'a str, (Reason, f64)> {
    let bytes = record.text.as_ref().and_then(|cells| cells.bytes(row)).ok_or((Reason::NullText, 0.0))?;
    if bytes.len() > most {
        return Err((Reason::RowTooLong, bytes.len() as f64));
    }
    simdutf8::basic::from_utf8(bytes).map_err(|_| (Reason::NotUtf8, 0.0))
}
