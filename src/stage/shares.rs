//! The least k rows of each group, where k and the rows may change: what sample, threshold and quota share.
//!
//! **Why**: one row more must not cost a pass over its group. Rows lie in buckets by a coarse path that agrees
//! with their order, buckets in buckets of 256. From the top down each bucket gets its share: all of it, none,
//! or so many; at most one child of a bucket is cut, so a change reaches a few buckets per level and only the
//! rows of those at the bottom.
//! **State** `stage/level_N`: a count per bucket. `stage/rows`, `stage/rows_out`: every row, once each.

use super::by_key::reduce;
use crate::model::Epoch;
use differential_dataflow::{ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};
use std::hash::Hash;

/// Rows in a total order.
pub(crate) trait Ranked: ExchangeData + Hash {
    /// How many bytes of [`path`](Self::path) count, in `1..=8`: 256 buckets in each bucket.
    const LEVELS: u32;

    /// The bucket, in the low `8 * LEVELS` bits: never falls as rows rise.
    fn path(&self) -> u64;
}

/// What a group is: a lang, or a cell of a lang.
pub(crate) trait Group: ExchangeData + Hash + Copy {}
impl<G: ExchangeData + Hash + Copy> Group for G {}

/// Every row, once.
pub(crate) struct Shares<'s, G: 'static, R: 'static> {
    /// The least rows of each group, as many as it wants.
    pub(crate) kept: VecCollection<'s, Epoch, (G, R)>,
    /// The others.
    pub(crate) left: VecCollection<'s, Epoch, (G, R)>,
}

/// What a bucket holds. The share comes before the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Held<V> {
    /// How many of the least rows to keep.
    Wanted(u64),
    /// A child, as often as it has rows; at the bottom, a row.
    Of(V),
}

/// A share that no count reaches, so it does not change when a whole bucket grows.
const ALL: u64 = u64::MAX;

/// Keeps the least `wanted` rows of each group; a group that wants nothing keeps nothing.
pub(crate) fn take_least<'s, G: Group, R: Ranked>(
    stage: &str,
    rows: VecCollection<'s, Epoch, (G, R)>,
    wanted: VecCollection<'s, Epoch, (G, u64)>,
) -> Shares<'s, G, R> {
    let mut shares = wanted.map(|(group, wanted)| ((group, 0), wanted));
    for level in 0..R::LEVELS {
        let children = rows.clone().map(move |(group, row)| {
            let path = row.path() >> (8 * (R::LEVELS - 1 - level));
            ((group, parent(path)), Held::Of(path & 255))
        });
        let held = children
            .consolidate_stream()
            .concat(shares.map(|(bucket, wanted)| (bucket, Held::Wanted(wanted))));
        shares = reduce(&format!("{stage}/level_{level}"), held, |_bucket, held, out| share_out(held, out))
            .map(|((group, path), (child, wanted))| ((group, (path << 8) | child), wanted));
    }
    let held = rows
        .map(|(group, row)| ((group, row.path()), Held::Of(row)))
        .concat(shares.map(|(bucket, wanted)| (bucket, Held::Wanted(wanted))));
    let judged = reduce(&format!("{stage}/rows"), held, |_bucket, held, out| judge(held, out));
    Shares {
        kept: judged.clone().filter(|(_, (kept, _))| *kept).map(|((group, _), (_, row))| (group, row)),
        left: judged.filter(|(_, (kept, _))| !*kept).map(|((group, _), (_, row))| (group, row)),
    }
}

/// How many rows each group has.
pub(crate) fn counts<'s, G: Group, R: ExchangeData>(
    stage: &str,
    rows: VecCollection<'s, Epoch, (G, R)>,
) -> VecCollection<'s, Epoch, (G, u64)> {
    let rows = rows.map(|(group, _)| (group, ())).consolidate_stream();
    reduce(&format!("{stage}/counts"), rows, |_group, rows, out| {
        out.extend(rows.first().map(|((), count)| (natural(*count), 1)));
    })
}

/// A count of present rows.
pub(crate) fn natural(count: isize) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn parent(path: u64) -> u64 {
    path >> 8
}

/// Gives the children, least first, what their bucket wants.
fn share_out(held: &[(&Held<u64>, isize)], out: &mut Vec<((u64, u64), isize)>) {
    let Some((Held::Wanted(wanted), _)) = held.first() else { return };
    let mut left = *wanted;
    for (child, count) in held {
        let Held::Of(child) = child else { continue };
        let count = natural(*count);
        if left == 0 {
            return;
        }
        if count <= left {
            out.push(((*child, ALL), 1));
            left -= if *wanted == ALL { 0 } else { count };
        } else {
            out.push(((*child, left), 1));
            return;
        }
    }
}

/// Splits the rows of one bucket at its share.
fn judge<R: Clone>(held: &[(&Held<R>, isize)], out: &mut Vec<((bool, R), isize)>) {
    let mut left = match held.first() {
        Some((Held::Wanted(wanted), _)) => *wanted,
        _ => 0,
    };
    for (row, count) in held {
        let Held::Of(row) = row else { continue };
        let keep = isize::try_from(left).map_or(*count, |left| left.min(*count));
        if left != ALL {
            left -= natural(keep);
        }
        if keep > 0 {
            out.push(((true, row.clone()), keep));
        }
        if keep < *count {
            out.push(((false, row.clone()), *count - keep));
        }
    }
}
