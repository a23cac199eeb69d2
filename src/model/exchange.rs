//! An exchange in the making: a fragment with its text, and what the models have said of it so far.
//!
//! **Why**: model stages are asynchronous and slow, so a row carries all that the next stage needs
//! and its own outcome; a bundle is sent on whole, whatever became of its rows, and its weight
//! returns to the reader as credits when the last stage is done with it.

use super::{ContentId, FragmentId, Lang, Place, Span, Verdict};
use serde::{Deserialize, Serialize};
use timely::container::Accountable;

/// Where a row came from, as published in the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The row's own id in the source; empty if it has none.
    pub source_id: String,
    /// Its address; empty if it has none.
    pub url: String,
    /// Its licence as the source says it; empty if it says none.
    pub license: String,
}

/// One fragment on its way through the model stages. Text of the source is hostile: see `llm::prompt`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Hash of (shard key, row, spans).
    pub id: FragmentId,
    /// Where it stands.
    pub place: Place,
    /// Its lang.
    pub lang: Lang,
    /// Hash of its normalised text.
    pub content: ContentId,
    /// Byte ranges of the row's text whose concatenation is `response`.
    pub spans: Vec<Span>,
    /// The native text, never rewritten.
    pub response: String,
    /// Lineage.
    pub lineage: Lineage,
    /// After translate: the English of `response`.
    pub response_en: String,
    /// After instruct: the English instruction.
    pub instruction_en: String,
    /// After instruct, where the recipe ranks by gain: mean log-probability gain in nats per token.
    pub gain: Option<f64>,
    /// After score: the score, in the unit and range that the scorer documents.
    pub score: f64,
    /// After embed: the unit vector of the English pair, quantised to int8 (value = component × 127).
    pub vector: Vec<i8>,
    /// After localize: the native instruction.
    pub instruction: String,
    /// Codebook cell, given by selection.
    pub cell: u32,
    /// Set when a stage drops or faults the row; later stages pass it through unasked.
    pub outcome: Option<Verdict>,
}

impl Exchange {
    /// Bytes of text the row holds.
    pub fn text_bytes(&self) -> usize {
        self.response.len() + self.response_en.len() + self.instruction_en.len() + self.instruction.len()
    }
}

/// What a bundle holds of the reader's credits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Rows.
    pub rows: u32,
    /// Bytes of native text.
    pub bytes: u64,
}

/// The container of the model streams: exchanges of one shard, in order, never split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The shard its rows stand in: position in the run's sorted list.
    pub shard: u32,
    /// Orders the bundles of the shard, from 0.
    pub serial: u32,
    /// No bundle of the shard follows.
    pub last: bool,
    /// The rows, by place.
    pub rows: Vec<Exchange>,
    /// The credits to give back.
    pub weight: Weight,
}

impl Accountable for Bundle {
    fn record_count(&self) -> i64 {
        i64::try_from(self.rows.len().max(1)).unwrap_or(i64::MAX)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.last && self.weight == Weight::default()
    }
}
