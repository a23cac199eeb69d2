//! From buckets of n-grams to rows, without a branch that a processor could guess wrong.
//!
//! **Why**: a text asks for some thousand buckets, half of which pruning has left without a row. A bit per bucket and
//! a count per word of bits take a quarter of a megabyte, so they stay in a core's cache where a hash table does not.

/// The kept buckets, and behind them the vocabulary, of which every word is kept.
#[derive(Debug)]
pub(super) struct Ngrams {
    /// A bit per bucket and word.
    bits: Box<[u64]>,
    /// How many of them are kept before each of these words of bits.
    before: Box<[u32]>,
    buckets: u32,
    /// 2^64 divided by `buckets`, rounded up: what a remainder takes in place of a division (Lemire, Kaser and Kurz 2019,
    /// "Faster remainder by direct computation").
    inverse: u64,
}

impl Ngrams {
    /// `kept` are under `buckets`, which is not 0; `words`: the size of the vocabulary.
    pub(super) fn new(kept: impl Iterator<Item = u32>, buckets: u32, words: usize) -> Self {
        let size = buckets as usize + words;
        let mut bits = vec![0_u64; size / 64 + 1];
        for place in kept.map(|bucket| bucket as usize).chain(buckets as usize..size) {
            bits[place / 64] |= 1 << (place % 64);
        }
        let mut sum = 0;
        let before = bits.iter().map(|word| {
            sum += word.count_ones();
            sum - word.count_ones()
        });
        let inverse = (u64::MAX / u64::from(buckets)).wrapping_add(1);
        Self { before: before.collect(), bits: bits.into(), buckets, inverse }
    }

    /// The bucket of an n-gram: its hash modulo their number.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder is under its 32-bit divisor")]
    pub(super) fn bucket(&self, hash: u32) -> u32 {
        let fraction = u128::from(self.inverse.wrapping_mul(hash.into()));
        ((fraction * u128::from(self.buckets)) >> 64) as u32
    }

    /// The place of a word of the vocabulary.
    pub(super) fn word(&self, word: u32) -> u32 {
        self.buckets + word
    }

    /// Puts the ranks, among all that is kept, of all places that are kept into their stead, in order.
    pub(super) fn ranks(&self, places: &mut Vec<u32>) {
        // Two short loops: more of the first one's loads are under way at once.
        let mut found = 0;
        for at in 0..places.len() {
            let place = places[at];
            places[found] = place;
            found += (self.bits[place as usize / 64] >> (place % 64) & 1) as usize;
        }
        places.truncate(found);
        for place in places {
            let word = *place as usize / 64;
            let below = self.bits[word] & ((1 << (*place % 64)) - 1);
            *place = self.before[word] + below.count_ones();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranks_are_those_of_a_sorted_list(
            kept in prop::collection::btree_set(0..300u32, 0..80),
            asked in prop::collection::vec(0..310u32, 0..200),
        ) {
            let ngrams = Ngrams::new(kept.iter().copied(), 300, 10);
            let ranks: BTreeSet<u32> = kept.into_iter().chain((0..10).map(|word| ngrams.word(word))).collect();
            let rank = |asked: &u32| ranks.iter().zip(0..).find(|(place, _)| *place == asked);
            let expected: Vec<u32> = asked.iter().filter_map(rank).map(|(_, rank)| rank).collect();
            let mut found = asked.clone();
            ngrams.ranks(&mut found);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn buckets_are_remainders(
            hash in any::<u32>(),
            buckets in prop_oneof![1..10_u32, Just(2_000_000), 1..10_000_000_u32],
        ) {
            let ngrams = Ngrams::new(std::iter::empty(), buckets, 0);
            prop_assert_eq!(ngrams.bucket(hash), hash % buckets);
        }
    }
}
