//! Reads single rows of a shard again and cuts them into bundles for the models.
//!
//! **Why**: the front forgets text once it is signed, so what was admitted is read a second time: by row selection,
//! shard by shard and row group by row group, and cut by the same pure segmenter. A fragment that is not found
//! again, or not with the same content, means that the shard changed under the run: that ends it.

use super::cells::Record;
use super::columns::Langs;
use super::decode::{Decode, Selected, Step};
use super::list::Shard;
use super::open::{Open, changed};
use super::settings::SourceSettings;
use super::shard::Opened;
use crate::error::{Error, Result};
use crate::model::{
    Bundle, ContentId, Exchange, Lang, Place, Reason, Row, Span, Stage, Verdict, Weight, content_of,
    fragment_id, response_of,
};
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// A fragment that is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// Its place.
    pub place: Place,
    /// Its lang.
    pub lang: Lang,
    /// Hash of its normalised text, checked against what is read.
    pub content: ContentId,
    /// Its codebook cell, passed on.
    pub cell: u32,
}

/// Cuts a row of a shard (by position) into fragments. Pure: it must cut as it did in the first reading.
pub type Segmenter = Arc<dyn Fn(&Row, u32) -> Vec<(Place, Vec<Span>)> + Send + Sync>;

/// What every second reader of a run shares.
pub struct Rereading {
    /// The shards, sorted by key.
    pub shards: Arc<[Shard]>,
    /// How they are opened.
    pub open: Arc<dyn Open>,
    /// Limits and columns, as in the first reading.
    pub settings: SourceSettings,
    /// The segmenter, as in the first reading.
    pub segmenter: Segmenter,
    /// The most rows of a bundle; at least 1.
    pub bundle_rows: usize,
    /// The most bytes of native text of a bundle; a longer row travels alone.
    pub bundle_bytes: u64,
    /// How many workers read again, the first ones of the dataflow: those of the process that asks the models. 1 or more.
    pub readers: usize,
}

/// The bundles of a set of wanted fragments, in place order.
pub(crate) struct Bundles {
    rereading: Arc<Rereading>,
    wanted: VecDeque<Wanted>,
    shard: Option<ShardBundles>,
}

impl Bundles {
    /// Sorts the wanted fragments; of several at one place the least stays.
    pub(crate) fn new(rereading: Arc<Rereading>, mut wanted: Vec<Wanted>) -> Self {
        wanted.sort_unstable();
        wanted.dedup_by_key(|wanted| wanted.place);
        Self { rereading, wanted: wanted.into(), shard: None }
    }

    fn step(&mut self) -> Result<Option<Bundle>> {
        loop {
            if let Some(shard) = &mut self.shard {
                if let Some(bundle) = shard.next(&self.rereading)? {
                    return Ok(Some(bundle));
                }
                self.shard = None;
            }
            let Some(first) = self.wanted.front() else { return Ok(None) };
            let at = first.place.shard;
            let many = self.wanted.partition_point(|wanted| wanted.place.shard == at);
            let wanted = self.wanted.drain(..many).collect();
            self.shard = Some(ShardBundles::new(&self.rereading, at, wanted)?);
        }
    }
}

impl Iterator for Bundles {
    type Item = Result<Bundle>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The second reading of one shard.
struct ShardBundles {
    shard: u32,
    opened: Arc<Opened>,
    /// What is still to be cut, in place order.
    wanted: VecDeque<Wanted>,
    decode: Option<Decode>,
    langs: Langs,
    scratch: String,
    /// Bundles that are full, and the one that is not.
    full: VecDeque<Bundle>,
    filling: Bundle,
    ended: bool,
}

impl ShardBundles {
    fn new(rereading: &Rereading, shard: u32, wanted: VecDeque<Wanted>) -> Result<Self> {
        let listed = rereading.shards.get(shard as usize).ok_or_else(|| {
            Error::bug(format!(
                "wanted a shard that is not listed: shard={shard}, listed={}",
                rereading.shards.len()
            ))
        })?;
        let opened = Arc::new(Opened::new(listed, rereading.open.as_ref(), &rereading.settings.columns)?);
        Ok(Self {
            shard,
            opened,
            wanted,
            decode: None,
            langs: Langs::default(),
            scratch: String::new(),
            full: VecDeque::new(),
            filling: Bundle { shard, ..Bundle::default() },
            ended: false,
        })
    }

    /// The next bundle: the last one is held back until the shard has no row left, so that it can say so.
    fn next(&mut self, rereading: &Rereading) -> Result<Option<Bundle>> {
        loop {
            if let Some(bundle) = self.full.pop_front() {
                return Ok(Some(bundle));
            }
            if self.ended {
                return Ok(None);
            }
            let step = match &mut self.decode {
                Some(decode) => decode.next()?,
                None => None,
            };
            match step {
                Some(Step::Batch(from, batch)) => {
                    let row =
                        |decode: &Decode| (from..from + batch.num_rows()).map(|at| decode.row(at)).collect();
                    let rows: Vec<u32> = self.decode.as_ref().map(row).unwrap_or_default();
                    self.cut(rereading, &rows, &batch, None)?;
                }
                Some(Step::Lost(from, cause)) => self.without_lineage(rereading, from, cause)?,
                None if self.wanted.is_empty() => {
                    let mut last = std::mem::take(&mut self.filling);
                    last.last = true;
                    self.full.push_back(last);
                    self.ended = true;
                }
                None => self.decode = Some(self.group(rereading)?),
            }
        }
    }

    /// The decoder of the next row group with wanted rows, from its first one on.
    fn group(&self, rereading: &Rereading) -> Result<Decode> {
        let row = self.wanted.front().map_or(0, |wanted| wanted.place.row);
        let group = self.opened.group_of(row).ok_or_else(|| self.gone(row, "rows end before"))?;
        let (first, many) = self.opened.group(group).unwrap_or_default();
        let mut rows: Vec<u32> =
            self.wanted.iter().map(|wanted| wanted.place.row - first).take_while(|row| *row < many).collect();
        rows.dedup();
        let fit =
            usize::try_from(rereading.bundle_bytes / self.opened.row_bytes(group)).unwrap_or(usize::MAX);
        let fit = fit.clamp(1, rereading.bundle_rows.max(1));
        Ok(Decode::new(&self.opened, group, self.opened.columns.all(), Selected::These(rows), fit))
    }

    /// A row whose id, address or licence does not decode is a fault, as long as its text still does. The rows
    /// after it get a fresh start, so that what becomes of a row depends on no other one.
    fn without_lineage(
        &mut self,
        rereading: &Rereading,
        from: usize,
        cause: parquet::errors::ParquetError,
    ) -> Result<()> {
        let Some(decode) = self.decode.take() else { return Ok(()) };
        let row = decode.row(from);
        let first = self.opened.group(decode.group()).map_or(0, |(first, _)| first);
        let only = Selected::These(vec![row - first]);
        let mut alone = Decode::new(&self.opened, decode.group(), self.opened.columns.front(), only, 1);
        match alone.next()? {
            Some(Step::Batch(_, batch)) => {
                tracing::warn!(shard = self.opened.key, row_group = decode.group(), row, %cause, "lineage does not decode");
                let fault = Verdict::faulted(Stage::Read, Reason::Unreadable, 1.0);
                self.cut(rereading, &[row], &batch, Some(fault))
            }
            _ => Err(decode.vanished(from, cause)),
        }
    }

    /// Cuts the wanted fragments out of a batch of these rows.
    fn cut(
        &mut self,
        rereading: &Rereading,
        rows: &[u32],
        batch: &RecordBatch,
        outcome: Option<Verdict>,
    ) -> Result<()> {
        let opened = Arc::clone(&self.opened);
        let record = Record::of(batch, opened.meta.parquet_schema(), &opened.columns);
        for (at, &row) in rows.iter().enumerate() {
            let text = record.text.as_ref().and_then(|cells| cells.bytes(at));
            let text = text.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
            let text = text.ok_or_else(|| self.gone(row, "text is no text any more"))?;
            let row = Row { row, text, lang: record.lang(at, &mut self.langs), lineage: record.lineage(at) };
            let cuts = (rereading.segmenter)(&row, self.shard);
            while let Some(wanted) = self.wanted.pop_front_if(|wanted| wanted.place.row == row.row) {
                let cut = cuts.iter().find(|(place, _)| *place == wanted.place);
                let (_, spans) = cut.ok_or_else(|| self.gone(row.row, "fragment not found"))?;
                let exchange = self.exchange(&row, &wanted, spans, outcome)?;
                self.push(rereading, exchange);
            }
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        row: &Row,
        wanted: &Wanted,
        spans: &[Span],
        outcome: Option<Verdict>,
    ) -> Result<Exchange> {
        let response = response_of(&row.text, spans).ok_or_else(|| {
            Error::bug(format!(
                "spans leave the text: shard={}, row={}, spans={spans:?}",
                self.opened.key, row.row
            ))
        })?;
        if content_of(&response, &mut self.scratch) != wanted.content {
            return Err(self.gone(row.row, "fragment has another text"));
        }
        Ok(Exchange {
            id: fragment_id(&self.opened.key, row.row, spans),
            place: wanted.place,
            lang: wanted.lang,
            content: wanted.content,
            spans: spans.to_vec(),
            response,
            lineage: row.lineage.clone(),
            cell: wanted.cell,
            outcome,
            ..Exchange::default()
        })
    }

    fn push(&mut self, rereading: &Rereading, exchange: Exchange) {
        let bytes = exchange.response.len() as u64;
        let over = self.filling.weight.bytes + bytes > rereading.bundle_bytes;
        let many = self.filling.rows.len() >= rereading.bundle_rows.max(1);
        if many || (over && !self.filling.rows.is_empty()) {
            let serial = self.filling.serial + 1;
            let next = Bundle { shard: self.shard, serial, ..Bundle::default() };
            self.full.push_back(std::mem::replace(&mut self.filling, next));
        }
        let weight = self.filling.weight;
        self.filling.weight = Weight { rows: weight.rows + 1, bytes: weight.bytes + bytes };
        self.filling.rows.push(exchange);
    }

    fn gone(&self, row: u32, how: &str) -> Error {
        changed(&self.opened.key, &format!("row={row}, how={how}"))
    }
}
