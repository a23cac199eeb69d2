//! Verifies pairs: which of those that share a band resemble each other.
//!
//! **Why** in batches: pairs come in the order of their first nodes, so the sketches of these are read from one end to the
//! other; those of their second nodes lie anywhere. A batch holds the sketches of its first nodes and is put in the order of its
//! second ones, so a block of the table is read once for all its pairs. A batch takes half the memory of a sorter, at a
//! time when the sorter of the pairs has given up its own.

use super::sketches::Sketches;
use super::{Durable, NODE, Node, prefix_of};
use crate::error::Result;
use crate::stage::dedup::edges::Edge;
use crate::stage::dedup::sketch::resembling;
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
        let mut batch = Batch::new(&ctx);
        let mut first = None;
        while pairs.next()? {
            let pair = u128::from_be_bytes(pairs.key().try_into().unwrap_or_default());
            let (a, b) = (prefix_of(pair), prefix_of(pair << 64));
            if first != Some(a) {
                if batch.is_full() {
                    batch.verify(&mut seconds, out)?;
                }
                first = Some(a);
                batch.first(a, &mut firsts)?;
            }
            batch.pair(b, pairs.count());
        }
        batch.verify(&mut seconds, out)
    }
}

/// Pairs on their way into the order of their second nodes.
struct Batch {
    width: usize,
    /// Bytes that it may hold.
    most: usize,
    least: f64,
    /// First nodes, and their sketches end to end.
    nodes: Vec<Node>,
    sketches: Vec<u8>,
    /// Where the open first nodes start: one, but for a collision.
    open: usize,
    /// First bytes of the second node, position of the first node, how often the pair counts.
    pairs: Vec<(u64, u32, i32)>,
}

impl Batch {
    fn new(ctx: &Durable) -> Self {
        Self {
            width: ctx.shape.sketch,
            most: ctx.tables.sort_bytes / 2,
            least: ctx.settings.least_resemblance,
            nodes: Vec::new(),
            sketches: Vec::new(),
            open: 0,
            pairs: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.nodes.len() * (NODE + self.width) + self.pairs.len() * size_of::<(u64, u32, i32)>() >= self.most
    }

    /// The pairs that follow are those of these nodes.
    fn first(&mut self, prefix: u64, sketches: &mut Sketches) -> Result<()> {
        self.open = self.nodes.len();
        sketches.each(prefix, |node, sketch| {
            self.nodes.push(node);
            self.sketches.extend_from_slice(sketch);
        })
    }

    fn pair(&mut self, second: u64, count: i32) {
        let firsts = self.open..self.nodes.len();
        self.pairs.extend(firsts.map(|at| (second, u32::try_from(at).unwrap_or(u32::MAX), count)));
    }

    /// Gives the pairs that resemble each other, and forgets all of them.
    fn verify(&mut self, seconds: &mut Sketches, out: &mut Give<'_, Edge>) -> Result<()> {
        self.pairs.sort_unstable();
        let mut like = Vec::new();
        for same in self.pairs.chunk_by(|a, b| a.0 == b.0) {
            seconds.each(same[0].0, |b, of_b| {
                for (_, at, count) in same {
                    let at = *at as usize;
                    let of_a = &self.sketches[at * self.width..][..self.width];
                    if let Some(resemblance) = resembling(of_a, of_b, self.least) {
                        let a = self.nodes[at];
                        like.push(((a.min(b), a.max(b), resemblance), *count));
                    }
                }
            })?;
            like.drain(..).try_for_each(|(edge, count)| out.now(edge, count as isize))?;
        }
        self.nodes.clear();
        self.sketches.clear();
        self.pairs.clear();
        Ok(())
    }
}
