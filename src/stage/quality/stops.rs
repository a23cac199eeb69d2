//! The commonest words of some languages (`data/quality/stop_words.tsv`, written for the project).
//!
//! **Why**: running prose cannot do without them, lists of names, keywords and machine text can. In scripts without
//! spaces they are single characters.

use super::measure::word_hash;
use crate::model::Lang;
use crate::stage::glyph::Glyphs;
use std::collections::BTreeMap;

const WORDS: &str = include_str!("../../../data/quality/stop_words.tsv");

/// A language's commonest words, per language.
#[derive(Clone)]
pub(super) struct Stops(BTreeMap<Lang, Hashes>);

impl Stops {
    pub(super) fn get() -> Self {
        let glyphs = Glyphs::get();
        let lists = WORDS.lines().skip(1).filter_map(|line| {
            let (tag, words) = line.split_once('\t')?;
            Some((Lang::from_tag(tag)?, words.split(' ').map(|word| word_hash(word, glyphs)).collect()))
        });
        Self(lists.collect())
    }

    /// Those of a language; none if it has no list.
    pub(super) fn of(&self, lang: Lang) -> Option<&Hashes> {
        self.0.get(&lang)
    }
}

/// A small set of well-mixed hashes, which every word of a corpus is looked up in: open addressing with linear probing, at
/// most an eighth full, so nearly every word that is not in it meets a free slot at once.
#[derive(Clone)]
pub(super) struct Hashes(Box<[u64]>);

/// No hash: 0 itself is never found.
const FREE: u64 = 0;

impl FromIterator<u64> for Hashes {
    fn from_iter<I: IntoIterator<Item = u64>>(hashes: I) -> Self {
        let hashes: Vec<u64> = hashes.into_iter().collect();
        let mut slots = vec![FREE; (hashes.len() * 8).next_power_of_two()];
        for hash in hashes {
            let (Ok(place) | Err(place)) = placed(&slots, hash);
            if let Some(slot) = slots.get_mut(place) {
                *slot = hash;
            }
        }
        Self(slots.into())
    }
}

impl Hashes {
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        placed(&self.0, hash).is_ok()
    }
}

/// Where a hash stands in a table that has free slots, or the free slot that it would take.
#[inline]
fn placed(slots: &[u64], hash: u64) -> Result<usize, usize> {
    let mask = slots.len() - 1;
    let mut place = (hash >> 32) as usize & mask;
    loop {
        match slots.get(place).copied().unwrap_or(FREE) {
            FREE => return Err(place),
            held if held == hash => return Ok(place),
            _ => place = (place + 1) & mask,
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
        fn hashes_are_those_of_a_sorted_set(
            held in prop::collection::btree_set(1..400_u64, 0..60),
            // Many of them begin at the same slot.
            shift in prop_oneof![Just(0_u32), Just(30), Just(40)],
        ) {
            let held: BTreeSet<u64> = held.into_iter().map(|hash| hash << shift).collect();
            let hashes: Hashes = held.iter().copied().chain(held.iter().copied()).collect();
            for hash in (0..400).map(|hash| hash << shift) {
                prop_assert_eq!(hashes.has(hash), held.contains(&hash));
            }
        }
    }
}
