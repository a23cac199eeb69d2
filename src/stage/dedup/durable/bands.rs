//! Band keys to candidates: pairs of small bands, links of crowds.

use super::Durable;
use super::sketches::Sketches;
use crate::error::Result;
use crate::stage::dedup::crowds::Leaders;
use crate::stage::dedup::edges::Edge;
use crate::stage::dedup::table::KEY_BITS;
use crate::stage::gather::{Gather, Give};
use crate::state::sorter::Sorter;
use serde::{Deserialize, Serialize};

/// What a band gives or takes back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum BandOut {
    /// Two nodes to verify, the lesser first.
    Pair(u64, u64),
    /// A verified link of a crowd, the lesser node first.
    Edge(Edge),
}

/// Bytes of a cut key.
const KEY: usize = 6;

pub(super) struct Bands {
    ctx: Durable,
    sorter: Sorter,
}

impl Bands {
    pub(super) fn new(ctx: &Durable) -> Self {
        Self { ctx: ctx.clone(), sorter: ctx.tables.sorter("bands", KEY + 8) }
    }
}

impl Gather for Bands {
    /// The worker of some bands, a node, and the keys of these of its bands.
    type In = (u64, u64, Vec<u64>);
    type Out = BandOut;

    fn take(&mut self, (_, node, keys): Self::In, diff: isize) -> Result<()> {
        let mut row = [0; KEY + 8];
        row[KEY..].copy_from_slice(&node.to_be_bytes());
        let count = i32::try_from(diff).unwrap_or(i32::MAX);
        keys.iter().try_for_each(|key| {
            row[..KEY].copy_from_slice(&(key << (64 - KEY_BITS)).to_be_bytes()[..KEY]);
            self.sorter.push(&row, count)
        })
    }

    fn work(self, out: &mut Give<'_, BandOut>) -> Result<()> {
        let Self { ctx, sorter } = self;
        let sorted = sorter.finish()?;
        let mut delta = sorted.read()?;
        let mut bands = ctx.table("bands").finder()?;
        let mut run = ctx.tables.store.writer(KEY + 8);
        let mut sketches = Sketches::new(&ctx)?;
        let mut changes: Vec<(u64, i32)> = Vec::new();
        let mut old: Vec<(u64, i32)> = Vec::new();
        let mut key = [0; KEY];
        let mut more = delta.next()?;
        while more {
            key.copy_from_slice(&delta.key()[..KEY]);
            changes.clear();
            while more && delta.key().starts_with(&key) {
                run.push(delta.key(), delta.count())?;
                changes.push((node_in(delta.key()), delta.count()));
                more = delta.next()?;
            }
            old.clear();
            bands.find(&key, |row, count| old.push((node_in(row), count)))?;
            // Nearly every band: nobody is met there, and one is no crowd.
            if old.is_empty() && matches!(changes.as_slice(), [(_, 1)]) {
                continue;
            }
            band(&ctx, &old, &changes, &mut sketches, out)?;
        }
        ctx.tables.store.add(&ctx.name("bands"), run.finish()?);
        Ok(())
    }
}

fn node_in(row: &[u8]) -> u64 {
    row.get(KEY..).and_then(|node| node.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// What the changes of one band change. A member counts more than once only where nodes share their first bytes: then
/// it stands for both.
fn band(
    ctx: &Durable,
    old: &[(u64, i32)],
    changes: &[(u64, i32)],
    sketches: &mut Sketches,
    out: &mut Give<'_, BandOut>,
) -> Result<()> {
    let stood = old.iter().map(|(node, count)| (*node, (*count, *count)));
    let mut members: Vec<(u64, (i32, i32))> =
        stood.chain(changes.iter().map(|(node, count)| (*node, (0, *count)))).collect();
    members.sort_unstable_by_key(|(node, _)| *node);
    members.dedup_by(|(next, counts), (node, sums)| {
        let same = next == node;
        if same {
            *sums = (sums.0 + counts.0, sums.1 + counts.1);
        }
        same
    });
    let add = |sizes: (i32, i32), (was, is): (i32, i32)| (sizes.0 + was.max(0), sizes.1 + is.max(0));
    let sizes = members.iter().fold((0, 0), |sizes, (_, counts)| add(sizes, *counts));
    let whole = i32::try_from(ctx.settings.whole_band.max(2)).unwrap_or(i32::MAX);
    let (was_crowd, is_crowd) = (sizes.0 > whole, sizes.1 > whole);
    // Pairs of a small band, before and after; where both are small, only what a change touches.
    let touched = |was: i32, is: i32| (was > 0) != (is > 0);
    for (at, (a, (was_a, is_a))) in members.iter().enumerate() {
        for (b, (was_b, is_b)) in members.iter().skip(at + 1) {
            if was_crowd && is_crowd {
                break;
            }
            if !was_crowd && !is_crowd && !touched(*was_a, *is_a) && !touched(*was_b, *is_b) {
                continue;
            }
            let was = !was_crowd && *was_a > 0 && *was_b > 0;
            let is = !is_crowd && *is_a > 0 && *is_b > 0;
            if was != is {
                out.now(BandOut::Pair(*a, *b), if is { 1 } else { -1 })?;
            }
        }
    }
    if !was_crowd && !is_crowd {
        return Ok(());
    }
    let elect = || Leaders::new(ctx.settings.least_resemblance, ctx.settings.most_leaders);
    let (mut before, mut after) = (elect(), elect());
    for (prefix, (was, is)) in members {
        for (node, sketch) in sketches.of(prefix)? {
            let old = if was_crowd && was > 0 { before.meet(node, &sketch) } else { None };
            let new = if is_crowd && is > 0 { after.meet(node, &sketch) } else { None };
            if old != new {
                if let Some(edge) = old {
                    out.now(BandOut::Edge(edge), -1)?;
                }
                if let Some(edge) = new {
                    out.now(BandOut::Edge(edge), 1)?;
                }
            }
        }
    }
    Ok(())
}
