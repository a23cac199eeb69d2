//! The two orders of selection: by tick for samples, by score for everything after the score.

use super::shares::Ranked;
use crate::model::{FragmentRow, Place, Scored};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// A fragment in the order of samples: by tick, then by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ByTick {
    tick: u64,
    place: Place,
    /// The whole of it.
    pub(crate) row: FragmentRow,
}

impl From<FragmentRow> for ByTick {
    fn from(row: FragmentRow) -> Self {
        Self { tick: row.tick, place: row.place, row }
    }
}

impl Ranked for ByTick {
    const LEVELS: u32 = 2;

    fn path(&self) -> u64 {
        high_half(self.tick)
    }
}

/// A scored exchange, the best first: by score from high to low, then by tick, then by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct BestFirst {
    score: Reverse<i64>,
    tick: u64,
    place: Place,
    /// The whole of it.
    pub(crate) scored: Scored,
}

impl From<Scored> for BestFirst {
    fn from(scored: Scored) -> Self {
        Self { score: Reverse(scored.score), tick: scored.row.tick, place: scored.row.place, scored }
    }
}

impl Ranked for BestFirst {
    const LEVELS: u32 = 5;

    /// A bucket of one score is split by tick. Scores beyond ±8.388607 share a bucket on each side, where a tick
    /// would not agree with the order: they cost more, and lose nothing.
    fn path(&self) -> u64 {
        let falling = WIDEST - self.score.0.clamp(-WIDEST, WIDEST);
        let tick = if self.score.0.abs() < WIDEST { high_half(self.tick) } else { 0 };
        falling.unsigned_abs() << 16 | tick
    }
}

/// The greatest score, in millionths, that has a bucket of its own: `2 * WIDEST` fits three bytes.
const WIDEST: i64 = (1 << 23) - 1;

/// The top 16 bits.
fn high_half(bits: u64) -> u64 {
    bits >> 48
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lang, Signature};
    use proptest::prelude::*;

    fn scored(score: i64, tick: u64, row: u32) -> BestFirst {
        let row = FragmentRow { place: Place::of_row(0, row), lang: Lang::UND, content: 0, tick };
        BestFirst::from(Scored { row, score, cell: 0, asked: 0, asked_signature: Signature::default() })
    }

    /// Few scores, near scores of a usual size, the ends of what has buckets, and anything.
    fn scores() -> impl Strategy<Value = i64> {
        prop_oneof![
            -5..5i64,
            899_990..900_010i64,
            WIDEST - 3..WIDEST + 3,
            -WIDEST - 3..-WIDEST + 3,
            any::<i64>()
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn paths_agree_with_the_order(
            a in (scores(), any::<u64>(), 0..3u32),
            b in (scores(), any::<u64>(), 0..3u32),
        ) {
            let (a, b) = (scored(a.0, a.1, a.2), scored(b.0, b.1, b.2));
            let (low, high) = if a <= b { (&a, &b) } else { (&b, &a) };
            prop_assert!(low.path() <= high.path());
            prop_assert!(high.path() < 1 << (8 * BestFirst::LEVELS));
            prop_assert!(low.scored.score >= high.scored.score);
            let (a, b) = (ByTick::from(a.scored.row), ByTick::from(b.scored.row));
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(low.path() <= high.path() && low.tick <= high.tick);
            prop_assert!(high.path() < 1 << (8 * ByTick::LEVELS));
        }
    }

    #[test]
    fn near_scores_differ_in_their_bucket() {
        assert!(scored(900_000, 0, 0).path() < scored(890_000, 0, 0).path());
        assert!(scored(5_000_000, 0, 0).path() < scored(4_900_000, 0, 0).path());
        assert!(scored(-1, 0, 0).path() > scored(1, 0, 0).path());
    }
}
