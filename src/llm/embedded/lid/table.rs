//! A read-only table from 32-bit hashes to places, in one block of memory: open addressing, linear probing.

/// Key and value; a key may stand more than once.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[(u32, u32)]>,
    shift: u32,
}

/// No row has this number.
const FREE: u32 = u32::MAX;

/// Knuth's multiplicative hashing: 2^32 divided by the golden ratio (The Art of Computer Programming, 6.4).
const SPREAD: u32 = 0x9e37_79b1;

impl Table {
    /// A table at most half full, which leads from each key to its place in `keys`.
    pub(super) fn of(keys: &[u32]) -> Self {
        let bits = (keys.len() * 2 + 1).next_power_of_two().trailing_zeros().max(1);
        let mut table = Self { slots: vec![(0, FREE); 1 << bits].into(), shift: 32 - bits };
        for (key, value) in keys.iter().zip(0..) {
            let mut at = table.home(*key);
            while table.slots[at].1 != FREE {
                at = table.after(at);
            }
            table.slots[at] = (*key, value);
        }
        table
    }

    fn home(&self, key: u32) -> usize {
        (key.wrapping_mul(SPREAD) >> self.shift) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// The first value of a key that is wanted.
    #[inline]
    pub(super) fn find(&self, key: u32, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(key);
        loop {
            let (held, value) = self.slots[at];
            if value == FREE {
                return None;
            }
            if held == key && wanted(value) {
                return Some(value);
            }
            at = self.after(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_entry_is_found_and_nothing_else(keys in prop::collection::vec(0..60u32, 0..40)) {
            let entries: Vec<(u32, u32)> = keys.iter().copied().zip(0..).collect();
            let table = Table::of(&keys);
            for key in 0..64 {
                for value in 0..40 {
                    let found = table.find(key, |held| held == value);
                    prop_assert_eq!(found, entries.contains(&(key, value)).then_some(value));
                }
            }
        }
    }
}
