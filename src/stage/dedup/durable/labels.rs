//! Writes the labels that change, and compares those that were computed for the state before with its tables.

use super::{Durable, NODE, Node};
use crate::error::Result;
use crate::model::Epoch;
use crate::stage::gather::{BEFORE, Gather, Give};
use crate::state::damage::damaged;
use crate::state::sorter::Sorter;
use differential_dataflow::VecCollection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

pub(super) struct Labelled {
    ctx: Durable,
    labels: Sorter,
    members: Sorter,
}

impl Labelled {
    pub(super) fn new(ctx: &Durable) -> Self {
        let (labels, members) =
            (ctx.tables.sorter("labels", 2 * NODE), ctx.tables.sorter("members", 2 * NODE));
        Self { ctx: ctx.clone(), labels, members }
    }
}

impl Gather for Labelled {
    type In = (Node, u128);
    type Out = ();

    fn take(&mut self, (node, label): Self::In, diff: isize) -> Result<()> {
        let count = i32::try_from(diff).unwrap_or(i32::MAX);
        self.labels.push(&pair(node, label), count)?;
        self.members.push(&pair(label, node), count)
    }

    fn work(self, _out: &mut Give<'_, ()>) -> Result<()> {
        let Self { ctx, labels, members } = self;
        for (table, sorter) in [("labels", labels), ("members", members)] {
            ctx.tables.store.add(&ctx.name(table), sorter.finish()?.into_run(ctx.tables.store.path())?);
        }
        Ok(())
    }
}

pub(super) fn pair(a: u128, b: u128) -> [u8; 2 * NODE] {
    let mut row = [0; 2 * NODE];
    row[..NODE].copy_from_slice(&a.to_be_bytes());
    row[NODE..].copy_from_slice(&b.to_be_bytes());
    row
}

/// Sums over all workers of a process of the hashes of labels: equal sums are, but for chance, equal labels.
#[derive(Debug, Default)]
pub(crate) struct Check {
    computed: AtomicU64,
    stored: AtomicU64,
}

impl Check {
    /// Sums up both sides as they come.
    pub(super) fn compare<'s>(
        self: &Arc<Self>,
        computed: VecCollection<'s, Epoch, (Node, u128)>,
        stored: VecCollection<'s, Epoch, (Node, u128)>,
    ) {
        let (here, there) = (Arc::clone(self), Arc::clone(self));
        computed.inspect(move |((node, label), epoch, diff)| {
            if *epoch == BEFORE {
                add(&here.computed, *node, *label, *diff);
            }
        });
        stored.inspect(move |((node, label), _, diff)| add(&there.stored, *node, *label, *diff));
    }

    /// The sums of this process.
    pub(crate) fn sums(&self) -> [u64; 2] {
        [&self.computed, &self.stored].map(|sum| sum.load(Ordering::Relaxed))
    }

    /// Adds those of another process.
    pub(crate) fn add(&self, [computed, stored]: [u64; 2]) {
        self.computed.fetch_add(computed, Ordering::Relaxed);
        self.stored.fetch_add(stored, Ordering::Relaxed);
    }

    /// Whether both sides are equal.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the remedy if they are not.
    pub(crate) fn agrees(&self, stage: &str, state: &Path) -> Result<()> {
        let (computed, stored) = (self.computed.load(Ordering::Relaxed), self.stored.load(Ordering::Relaxed));
        if computed == stored {
            return Ok(());
        }
        Err(damaged(state, &format!("labels of {stage} are not those of its edges")))
    }
}

fn add(sum: &AtomicU64, node: Node, label: u128, diff: isize) {
    sum.fetch_add(xxh3_64(&pair(node, label)).wrapping_mul((diff as i64).cast_unsigned()), Ordering::Relaxed);
}
