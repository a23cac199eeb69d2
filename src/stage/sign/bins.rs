//! Sketches whose cost does not grow with their lanes: every shingle goes to one lane, not to all of them.
//!
//! **Why**: a minimum per lane and shingle is lanes × shingles of work; at 512 lanes that was half of signing. Here a
//! shingle's hash says which lane it may be the least of, and its rank there. Two uses of that, two answers to lanes
//! that no shingle meets:
//! - the *sketch* leaves them empty, and [`resemblance`](crate::model::Signature::resemblance) counts them (one permutation
//!   hashing, Li, Owen and Zhang 2012). A text with fewer shingles than lanes is then compared nearly shingle by shingle.
//! - the *band lanes* must all be filled, or bands of short texts would agree in what they lack. Further rounds with other
//!   hashes fill them (Dahlgaard, Knudsen and Thorup 2017, "Fast similarity sketching"), and a filled lane keeps what it
//!   has: two texts agree in a lane as often as they resemble each other, whatever their lengths. The last rounds send
//!   all shingles to one lane each, so there are at most twice as many rounds as lanes.
//!
//! Hashes are computed in blocks, compiled for several feature sets; all give the same values, as it is integers only.

use super::dispatch::Dispatch;

/// Shingles whose hashes are computed together.
const BLOCK: usize = 64;

/// The band lanes and sketch lanes of one shape.
#[derive(Debug, Clone)]
pub(super) struct Bins {
    lanes: u32,
    sketch: u32,
    dispatch: Dispatch,
}

/// The least of each lane, kept from text to text.
#[derive(Default)]
pub(super) struct Minima {
    /// Round (high half) and rank of the band lanes.
    pub(super) lanes: Vec<u64>,
    /// Rank in the sketch lanes; [`EMPTY`] where no shingle fell. Signing puts nibbles in their stead at last.
    pub(super) sketch: Vec<u32>,
}

/// A sketch lane without a shingle. Ranks are multiples of the even number of lanes, modulo 2³², so none is odd.
pub(super) const EMPTY: u32 = u32::MAX;

impl Bins {
    /// For so many band lanes and (an even number of) sketch lanes, at least one each.
    pub(super) fn new(lanes: usize, sketch: usize, dispatch: Dispatch) -> Self {
        let narrow = |count: usize| u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        Self { lanes: narrow(lanes), sketch: narrow(sketch), dispatch: dispatch.or_portable() }
    }

    /// What its loops run with.
    pub(super) fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    /// Fills the lanes of a text with at least one shingle.
    pub(super) fn fill(&self, shingles: &[u32], minima: &mut Minima) {
        let Minima { lanes, sketch } = minima;
        lanes.clear();
        lanes.resize(self.lanes as usize, u64::MAX);
        sketch.clear();
        sketch.resize(self.sketch as usize, EMPTY);
        for x in shingles {
            let (lane, rank) = split(*x, self.sketch);
            if let Some(least) = sketch.get_mut(lane) {
                *least = rank.min(*least);
            }
        }
        for round in 0..self.lanes {
            self.round(shingles, round, lanes);
            if !lanes.contains(&u64::MAX) {
                return;
            }
        }
        let mut hashes = [0; BLOCK];
        for lane in lanes.iter_mut().zip(self.lanes..).filter(|(lane, _)| **lane == u64::MAX) {
            let (least, round) = lane;
            for block in shingles.chunks(BLOCK) {
                self.dispatch.hashes(block, round, &mut hashes);
                let ranks = hashes.iter().take(block.len()).map(|hash| ranked(round, *hash));
                *least = ranks.min().map_or(*least, |rank| rank.min(*least));
            }
        }
    }

    fn round(&self, shingles: &[u32], round: u32, lanes: &mut [u64]) {
        let mut hashes = [0; BLOCK];
        for block in shingles.chunks(BLOCK) {
            self.dispatch.hashes(block, round, &mut hashes);
            for hash in hashes.iter().take(block.len()) {
                let (lane, rank) = split(*hash, self.lanes);
                if let Some(least) = lanes.get_mut(lane) {
                    *least = ranked(round, rank).min(*least);
                }
            }
        }
    }
}

/// A hash as the lane it falls into and its rank there.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of a product of 32-bit numbers")]
fn split(hash: u32, lanes: u32) -> (usize, u32) {
    let product = u64::from(hash) * u64::from(lanes);
    ((product >> 32) as usize, product as u32)
}

#[inline]
fn ranked(round: u32, rank: u32) -> u64 {
    (u64::from(round) << 32) | u64::from(rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The hash of a shingle in a round, in wide numbers.
    fn plain(x: u32, round: u32) -> u64 {
        let low = |x: u128| x % (1 << 32);
        let seeded = u128::from(x) ^ low((u128::from(round) + 1) * 0x9e37_79b9);
        let once = low((seeded ^ (seeded >> 16)) * 0x7feb_352d);
        let twice = low((once ^ (once >> 15)) * 0x846c_a68b);
        u64::try_from(twice ^ (twice >> 16)).expect("32 bits")
    }

    proptest! {
        #[test]
        fn every_dispatch_gives_the_lanes_of_a_plain_loop(
            shingles in prop::collection::vec(any::<u32>(), 1..150),
            lanes in 1..40_u64,
        ) {
            let mut wanted = vec![None; 40];
            for round in 0..2 * lanes {
                let open: Vec<bool> = wanted.iter().map(Option::is_none).collect();
                for x in &shingles {
                    let round = u32::try_from(round).expect("small");
                    let hash = plain(*x, round);
                    let (lane, rank) = match u64::from(round).checked_sub(lanes) {
                        None => ((hash * lanes) >> 32, (hash * lanes) % (1 << 32)),
                        Some(lane) => (lane, hash),
                    };
                    let lane = usize::try_from(lane).expect("small");
                    if open[lane] {
                        let least = wanted[lane].get_or_insert((round, rank));
                        *least = (round, rank).min(*least);
                    }
                }
            }
            for dispatch in Dispatch::available() {
                let mut minima = Minima::default();
                Bins::new(usize::try_from(lanes).expect("small"), 64, *dispatch).fill(&shingles, &mut minima);
                for (lane, least) in minima.lanes.iter().enumerate() {
                    let (round, rank) = wanted[lane].expect("the last rounds fill every lane");
                    prop_assert_eq!((least >> 32, least % (1 << 32)), (u64::from(round), rank), "{} {}", dispatch, lane);
                }
                for (lane, least) in minima.sketch.iter().enumerate() {
                    let here = shingles.iter().map(|x| u64::from(*x) * 64).filter(|x| x >> 32 == lane as u64);
                    let rank = here.map(|x| x % (1 << 32)).min().unwrap_or(u64::from(EMPTY));
                    prop_assert_eq!(u64::from(*least), rank, "{} {}", dispatch, lane);
                }
            }
        }
    }
}
