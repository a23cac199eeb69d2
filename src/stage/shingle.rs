//! Shingles that fit the script: what two texts must share to resemble each other.
//!
//! **Why**: words make good shingles where words have spaces, and none where they have not: a Chinese sentence would be
//! one shingle. So the choice is made per run of script, not per document: words (UAX #29-like: letters, digits and marks)
//! in spaced scripts, single characters in Han, Kana, Thai, Lao, Khmer and Burmese; a few words between such
//! characters join their run. Each run gives the windows of its units, or one shingle if it is shorter.
//! A shingle is a hash; nothing is allocated per shingle.

use super::glyph::{self, Glyphs};
use xxhash_rust::xxh3::xxh3_64;

/// Widths of shingles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Words per shingle where words have spaces.
    pub words: usize,
    /// Characters per shingle where they have not.
    pub chars: usize,
}

/// A word, or a character of a script without spaces.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// Its hash, spread over 64 bits.
    pub(crate) hash: u64,
    /// It is a character.
    pub(crate) dense: bool,
}

/// Buffers that are kept from text to text.
#[derive(Default)]
pub struct Shingles {
    units: Vec<Unit>,
    hashes: Vec<u32>,
}

/// What windows are rolled by.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Spreads a character; its window is mixed in the end.
const SPREAD: u64 = 0xa076_1d64_78bd_642f;

impl Shingles {
    /// The shingles of a text that is already case-folded and in a compatibility form, as 32-bit hashes in text order,
    /// repeats included. At least one, even for a text without words.
    pub fn of(&mut self, text: &str, widths: Widths, glyphs: Glyphs) -> &[u32] {
        self.units.clear();
        self.hashes.clear();
        units_of(text, glyphs, &mut self.units);
        windows_of(&mut self.units, widths, &mut self.hashes);
        if self.hashes.is_empty() {
            self.hashes.push(short(mixed(xxh3_64(text.trim().as_bytes()))));
        }
        &self.hashes
    }
}

/// Appends the windows of all runs of units, in order.
pub(crate) fn windows_of(units: &mut [Unit], widths: Widths, hashes: &mut Vec<u32>) {
    join(units, widths.words);
    let mut rest = &*units;
    while let Some(first) = rest.first() {
        let length = rest.iter().position(|unit| unit.dense != first.dense).unwrap_or(rest.len());
        let (run, others) = rest.split_at(length);
        windows(run, if first.dense { widths.chars } else { widths.words }, hashes);
        rest = others;
    }
}

/// Cuts a text into words and dense characters.
fn units_of(text: &str, glyphs: Glyphs, units: &mut Vec<Unit>) {
    const PLAIN: u8 = glyph::WORD | glyph::DENSE;
    let bytes = text.as_bytes();
    let spaced = |class: u8| class & PLAIN != 0 && class & glyph::DENSE == 0;
    let mut at = 0;
    while at < bytes.len() {
        let (mut class, point, mut length) = glyphs.at(text, at);
        if spaced(class) {
            let start = at;
            while spaced(class) {
                at += length;
                if at >= bytes.len() {
                    break;
                }
                (class, _, length) = glyphs.at(text, at);
            }
            let word = bytes.get(start..at).unwrap_or_default();
            units.push(Unit { hash: xxh3_64(word), dense: false });
        } else {
            if class & glyph::WORD != 0 {
                units.push(Unit { hash: u64::from(point).wrapping_mul(SPREAD), dense: true });
            }
            at += length;
        }
    }
}

/// A run of fewer than `most` words beside dense characters joins them.
fn join(units: &mut [Unit], most: usize) {
    let mut start = 0;
    while start < units.len() {
        let rest = units.get(start..).unwrap_or_default();
        let Some(skip) = rest.iter().position(|unit| !unit.dense) else { return };
        let from = start + skip;
        let length = units.get(from..).unwrap_or_default().iter().position(|unit| unit.dense);
        let to = length.map_or(units.len(), |length| from + length);
        let beside = from > 0 || to < units.len();
        if beside && to - from < most {
            for unit in units.get_mut(from..to).unwrap_or_default() {
                unit.dense = true;
            }
        }
        start = to;
    }
}

/// The hashes of all windows of `width` units, rolled; of the whole run if it is shorter.
fn windows(run: &[Unit], width: usize, hashes: &mut Vec<u32>) {
    let width = width.max(1).min(run.len());
    let drop = (0..width).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    // Windows of another length are other shingles.
    let seed = (width as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mut rolled = 0_u64;
    for (i, unit) in run.iter().enumerate() {
        rolled = rolled.wrapping_mul(BASE).wrapping_add(unit.hash);
        if let Some(gone) = i.checked_sub(width).and_then(|i| run.get(i)) {
            rolled = rolled.wrapping_sub(gone.hash.wrapping_mul(drop));
        }
        if i + 1 >= width {
            hashes.push(short(mixed(rolled ^ seed)));
        }
    }
}

/// Spreads every bit over all of them.
pub(crate) fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a well-mixed hash")]
fn short(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const WIDTHS: Widths = Widths { words: 3, chars: 2 };

    fn set(text: &str) -> BTreeSet<u32> {
        Shingles::default().of(text, WIDTHS, Glyphs::get()).iter().copied().collect()
    }

    fn count(text: &str) -> usize {
        Shingles::default().of(text, WIDTHS, Glyphs::get()).len()
    }

    #[test]
    fn the_unit_follows_the_script() {
        assert_eq!(count("a b c d e"), 3);
        assert_eq!(count("a b"), 1);
        assert_eq!(count("春夏秋冬"), 3);
        assert_eq!(count("春"), 1);
        assert_eq!(count("น้ำขึ้น"), "น้ำขึ้น".chars().count() - 1);
        assert_eq!(count("밀물과 썰물은 달과 태양의"), 2);
        // Two words join the run of characters: eight units.
        assert_eq!(count("春夏秋 linux 2024 冬天好"), 7);
        // Four words do not.
        assert_eq!(count("春夏 one two three four"), 1 + 2);
        assert_eq!(count(""), 1);
        assert_eq!(count("?!"), 1);
    }

    #[test]
    fn punctuation_and_place_do_not_matter_and_order_does() {
        assert_eq!(set("a, b. c; d"), set("a b c d"));
        assert_ne!(set("a b c"), set("c b a"));
        assert_eq!(set("春，夏秋"), set("春夏秋"));
        let long = set("x y z a b c d e");
        assert!(set("a b c d e").is_subset(&long), "windows are rolled");
        assert!(set("春夏").is_disjoint(&set("夏春")));
    }

    #[test]
    fn rolled_windows_are_those_computed_one_by_one() {
        let words: Vec<String> = (0..50).map(|i| format!("w{}", i * i % 17)).collect();
        let whole = set(&words.join(" "));
        let each: BTreeSet<u32> = words.windows(3).flat_map(|window| set(&window.join(" "))).collect();
        assert_eq!(whole, each);
    }
}
