//! How often hashes repeat.
//!
//! **Why**: two looks at every word and window of a corpus. Windows hardly ever repeat in prose, so a bit for each tells
//! nearly always that none did; only the commonest word needs counts.

/// Buffers that are kept from text to text.
#[derive(Default)]
pub(super) struct Repeats {
    /// Hash and count, open addressing.
    table: Vec<(u32, u32)>,
    bits: Vec<u64>,
    /// Where hashes stand whose bit was set before.
    met: Vec<usize>,
}

/// More hashes than these that may have stood before are looked up in a table.
const FEW: usize = 16;

impl Repeats {
    /// How often the commonest hash stands.
    pub(super) fn most(&mut self, hashes: &[u32]) -> u32 {
        self.counted(hashes).1
    }

    /// How many hashes stood before.
    pub(super) fn again(&mut self, hashes: &[u32]) -> u32 {
        // 128 bits for each hash.
        let words = (hashes.len() * 2).next_power_of_two();
        self.bits.clear();
        self.bits.resize(words, 0);
        self.met.clear();
        self.met.resize(hashes.len() + 1, 0);
        let mut many = 0;
        for (index, hash) in hashes.iter().enumerate() {
            let (word, bit) = ((hash >> 6) as usize & (words - 1), hash & 63);
            // Written in any case, so that nothing is to be guessed.
            if let Some(met) = self.met.get_mut(many) {
                *met = index;
            }
            if let Some(bits) = self.bits.get_mut(word) {
                many += usize::from(*bits >> bit & 1 != 0);
                *bits |= 1 << bit;
            }
        }
        if many > FEW {
            return self.counted(hashes).0;
        }
        let stood = |index: &usize| {
            let (before, own) = hashes.split_at(*index);
            // All are compared, which vectors do.
            own.first().is_some_and(|own| before.iter().filter(|hash| *hash == own).count() > 0)
        };
        self.met.iter().take(many).map(|index| u32::from(stood(index))).sum()
    }

    /// How many hashes stood before, and how often the commonest stands.
    fn counted(&mut self, hashes: &[u32]) -> (u32, u32) {
        let size = (hashes.len() * 2).next_power_of_two();
        self.table.clear();
        self.table.resize(size, (0, 0));
        let (mut again, mut most) = (0, 0);
        for hash in hashes {
            let mut place = *hash as usize & (size - 1);
            while let Some(slot) = self.table.get_mut(place) {
                if slot.1 == 0 || slot.0 == *hash {
                    again += u32::from(slot.1 > 0);
                    *slot = (*hash, slot.1 + 1);
                    most = most.max(slot.1);
                    break;
                }
                place = (place + 1) & (size - 1);
            }
        }
        (again, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn repeats_are_those_of_a_map(
            hashes in prop_oneof![
                prop::collection::vec(0..40_u32, 0..200),
                prop::collection::vec(any::<u32>(), 0..200),
                // Few that repeat, and many that share a bit.
                prop::collection::vec((0..60_u32).prop_map(|x| x << 20), 0..14),
            ],
        ) {
            let mut counts = BTreeMap::new();
            hashes.iter().for_each(|hash| *counts.entry(hash).or_insert(0_u32) += 1);
            let again = counts.values().map(|count| count - 1).sum::<u32>();
            let most = counts.values().max().copied().unwrap_or(0);
            let mut repeats = Repeats::default();
            prop_assert_eq!(repeats.counted(&hashes), (again, most));
            prop_assert_eq!(repeats.again(&hashes), again);
            prop_assert_eq!(repeats.most(&hashes), most);
        }
    }
}
