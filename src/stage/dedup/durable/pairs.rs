//! Verifies pairs: which of those that share a band resemble each other.

use super::sketches::Sketches;
use super::{Durable, prefix_of};
use crate::error::Result;
use crate::stage::dedup::edges::Edge;
use crate::stage::gather::{Gather, Give};
use crate::state::run::Carried;
use crate::state::sorter::Sorter;
use serde::{Deserialize, Serialize};

/// What [`Pairs`] takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum PairIn {
    /// Two nodes, by the first bytes of each.
    Pair(u64, u64),
    /// Sketches of another process, for the worker of this number.
    Sketches(u64, Box<Carried>),
}

pub(super) struct Pairs {
    ctx: Durable,
    sorter: Sorter,
}

impl Pairs {
    pub(super) fn new(ctx: &Durable) -> Self {
        Self { ctx: ctx.clone(), sorter: ctx.tables.sorter("pairs", 16) }
    }
}

impl Gather for Pairs {
    type In = PairIn;
    type Out = Edge;

    fn take(&mut self, data: PairIn, diff: isize) -> Result<()> {
        let (a, b) = match data {
            PairIn::Pair(a, b) => (a, b),
            // Taken by one worker of this process, before any of them can begin its work: all have the same frontier.
            PairIn::Sketches(_, run) => return self.ctx.tables.store.see(&self.ctx.name("sketches"), *run),
        };
        let row = (u128::from(a) << 64 | u128::from(b)).to_be_bytes();
        self.sorter.push(&row, i32::try_from(diff).unwrap_or(i32::MAX))
    }

    fn work(self, out: &mut Give<'_, Edge>) -> Result<()> {
        let Self { ctx, sorter } = self;
        let sorted = sorter.finish()?;
        let mut pairs = sorted.read()?;
        let (mut firsts, mut seconds) = (Sketches::new(&ctx)?, Sketches::new(&ctx)?);
        let mut first = (None, Vec::new());
        while pairs.next()? {
            let pair = u128::from_be_bytes(pairs.key().try_into().unwrap_or_default());
            let (a, b) = (prefix_of(pair), prefix_of(pair << 64));
            if first.0 != Some(a) {
                first = (Some(a), firsts.of(a)?);
            }
            for (b, of_b) in seconds.of(b)? {
                for (a, of_a) in &first.1 {
                    let resemblance = of_a.resembling(&of_b, ctx.settings.least_resemblance);
                    if let Some(resemblance) = resemblance {
                        out.now((*a.min(&b), *a.max(&b), resemblance), pairs.count() as isize)?;
                    }
                }
            }
        }
        Ok(())
    }
}
