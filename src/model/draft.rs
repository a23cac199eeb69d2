//! Text on its way through the front: rows of a shard, then fragments of them. It never leaves its worker.
//!
//! **Why**: the front needs text only until a fragment is signed. Both containers own their text in one
//! allocation each and carry the credits that their reader lent them.

use super::{Lang, Lineage, Place, Span, Weight};
use timely::container::Accountable;

/// Some rows of one row group, in row order. One text per row; a fault is noted by the reader instead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Position of the shard's key in the run's sorted list.
    pub shard: u32,
    /// The rows.
    pub rows: Vec<Row>,
    /// The credits to give back.
    pub weight: Weight,
}

/// One readable row of a shard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Row in the shard, from 0.
    pub row: u32,
    /// The text, as it stands in the shard.
    pub text: String,
    /// What the shard says its language is; [`Lang::UND`] if nothing or unknown.
    pub lang: Lang,
    /// Lineage; the front leaves it empty, the second reading fills it in.
    pub lineage: Lineage,
}

impl Accountable for Rows {
    fn record_count(&self) -> i64 {
        i64::try_from(self.rows.len().max(1)).unwrap_or(i64::MAX)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.weight == Weight::default()
    }
}

/// Fragments of one [`Rows`], in place order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drafts {
    /// The responses, one after the other.
    pub text: String,
    /// The fragments.
    pub drafts: Vec<Draft>,
    /// The credits to give back.
    pub weight: Weight,
}

/// One fragment before it is signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its place.
    pub place: Place,
    /// Its document's lang until it is identified, then its own.
    pub lang: Lang,
    /// Byte ranges of the row's text.
    pub spans: Vec<Span>,
    /// Where its response stands in [`Drafts::text`].
    pub start: usize,
    /// One past its end there.
    pub end: usize,
}

impl Drafts {
    /// The response of a draft of this container.
    pub fn response(&self, draft: &Draft) -> &str {
        self.text.get(draft.start..draft.end).unwrap_or_default()
    }
}

impl Accountable for Drafts {
    fn record_count(&self) -> i64 {
        i64::try_from(self.drafts.len().max(1)).unwrap_or(i64::MAX)
    }

    fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.weight == Weight::default()
    }
}
