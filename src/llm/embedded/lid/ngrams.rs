//! From buckets of n-grams to rows, without a branch that a processor could guess wrong.
//!
//! **Why**: a text asks for some thousand buckets, half of which pruning has left without a row. A bit per bucket and
//! a count per word of bits take a quarter of a megabyte, so they stay in a core's cache where a hash table does not.

/// The kept buckets.
#[derive(Debug)]
pub(super) struct Ngrams {
    /// A bit per bucket.
    bits: Box<[u64]>,
    /// How many kept buckets come before each of these words.
    before: Box<[u32]>,
    buckets: u32,
}

impl Ngrams {
    /// `kept` are under `buckets`, which is not 0.
    pub(super) fn new(kept: impl Iterator<Item = u32>, buckets: u32) -> Self {
        let mut bits = vec![0_u64; buckets as usize / 64 + 1];
        for bucket in kept {
            bits[bucket as usize / 64] |= 1 << (bucket % 64);
        }
        let mut sum = 0;
        let before = bits.iter().map(|word| {
            sum += word.count_ones();
            sum - word.count_ones()
        });
        Self { before: before.collect(), bits: bits.into(), buckets }
    }

    /// Puts the ranks, among the kept buckets, of all n-grams that have one in place of their hashes, in order.
    pub(super) fn ranks(&self, hashes: &mut Vec<u32>) {
        // Two short loops: more of the first one's loads are under way at once.
        let mut found = 0;
        for at in 0..hashes.len() {
            let bucket = hashes[at] % self.buckets;
            hashes[found] = bucket;
            found += (self.bits[bucket as usize / 64] >> (bucket % 64) & 1) as usize;
        }
        hashes.truncate(found);
        for bucket in hashes {
            let word = *bucket as usize / 64;
            let below = self.bits[word] & ((1 << (*bucket % 64)) - 1);
            *bucket = self.before[word] + below.count_ones();
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
            hashes in prop::collection::vec(any::<u32>(), 0..200),
        ) {
            let ngrams = Ngrams::new(kept.iter().copied(), 300);
            let ranks: BTreeSet<u32> = kept;
            let place = |hash: &u32| ranks.iter().zip(0..).find(|(bucket, _)| **bucket == hash % 300);
            let expected: Vec<u32> = hashes.iter().filter_map(place).map(|(_, place)| place).collect();
            let mut found = hashes.clone();
            ngrams.ranks(&mut found);
            prop_assert_eq!(found, expected);
        }
    }
}
