//! Shingles that fit the script: what two texts must share to resemble each other.
//!
//! **Why**: words make good shingles where words have spaces, and none where they have not: a Chinese sentence would be
//! one shingle. So the choice is made per run of script, not per document: words (UAX #29-like: letters, digits and marks)
//! in spaced scripts, single characters in Han, Kana, Thai, Lao, Khmer and Burmese; a few words between such
//! characters join their run. Each run gives the windows of its units, or one shingle if it is shorter.
//! A shingle is a hash; nothing is allocated per shingle. Words are found in blocks of bytes, by a bit for each, where most
//! characters are ASCII or letters of their own block of code points; elsewhere character by character.

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

/// Bytes that are looked at together.
const BLOCK: usize = 64;
/// Wide characters of mixed kinds that are looked up in a block.
const MOST_WIDE: u32 = 8;

/// Cuts a text into words and dense characters.
fn units_of(text: &str, glyphs: Glyphs, units: &mut Vec<Unit>) {
    let bytes = text.as_bytes();
    let spaced = |class: u8| class & glyph::WORD != 0 && class & glyph::DENSE == 0;
    // Where the word begins that is not at its end yet.
    let mut start: Option<usize> = None;
    let word = |from: usize, to: usize| Unit {
        hash: xxh3_64(bytes.get(from..to).unwrap_or_default()),
        dense: false,
    };
    let mut at = 0;
    while at < bytes.len() {
        if let Some((mask, length)) = block(text, at, glyphs) {
            // Ones are bytes of words.
            let mut bit = 0;
            loop {
                if let Some(from) = start {
                    bit += (!mask >> bit).trailing_zeros() as usize;
                    if bit >= length {
                        break;
                    }
                    units.push(word(from, at + bit));
                    start = None;
                } else {
                    bit += (mask >> bit).trailing_zeros() as usize;
                    if bit >= length {
                        break;
                    }
                    start = Some(at + bit);
                }
            }
            at += length;
            continue;
        }
        let end = bytes.len().min(at + 4 * BLOCK);
        while at < end {
            let (mut class, mut point, mut length) = glyphs.at(text, at);
            if spaced(class) {
                let from = start.take().unwrap_or(at);
                while spaced(class) {
                    at += length;
                    if at >= end {
                        break;
                    }
                    (class, point, length) = glyphs.at(text, at);
                }
                if at >= end {
                    start = Some(from);
                    break;
                }
                units.push(word(from, at));
            } else if let Some(from) = start.take() {
                units.push(word(from, at));
            }
            if class & glyph::WORD != 0 {
                units.push(Unit { hash: u64::from(point).wrapping_mul(SPREAD), dense: true });
            }
            at += length;
        }
    }
    if let Some(from) = start {
        units.push(word(from, bytes.len()));
    }
}

/// Which of the next bytes belong to words, the first one in the lowest bit, and how many were looked at: whole characters.
/// None near the end of the text, and where a character of a script without spaces is among them.
#[inline]
fn block(text: &str, at: usize, glyphs: Glyphs) -> Option<(u64, usize)> {
    let block = text.as_bytes().get(at..)?.first_chunk::<BLOCK>()?;
    let (mut words, mut wide) = ([0_u8; BLOCK], [0_u8; BLOCK]);
    for i in 0..BLOCK {
        let byte = block[i];
        let plain = u8::from((byte | 0x20).wrapping_sub(b'a') < 26) | u8::from(byte.wrapping_sub(b'0') < 10);
        words[i] = plain | (byte >> 7);
        // The first byte of a wide character that must be looked up.
        wide[i] = u8::from(byte >= 0xc0) & u8::from(!all_letters(byte));
    }
    let mut mask = bits(&words);
    let mut wide = bits(&wide);
    // They are faster looked at one by one, and so are those behind them.
    if wide.count_ones() > MOST_WIDE {
        return None;
    }
    // A last character that is cut off is left to the next block.
    let last = block.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
    let length = if block[last] < 0x80 { BLOCK } else { last };
    mask &= u64::MAX >> (BLOCK - length).min(63);
    while wide != 0 {
        let bit = wide.trailing_zeros() as usize;
        wide &= wide - 1;
        let (class, _, long) = glyphs.at(text, at + bit);
        if class & glyph::DENSE != 0 {
            return None;
        }
        if class & glyph::WORD == 0 {
            mask &= !(((1 << long) - 1) << bit);
        }
    }
    Some((mask, length))
}

/// Whether all characters that begin with this byte are letters of scripts with spaces: Latin Extended-A, Cyrillic, most of
/// Hangul.
#[inline]
fn all_letters(lead: u8) -> bool {
    matches!(lead, 0xc4..=0xc5 | 0xd0..=0xd1 | 0xeb..=0xec)
}

/// The lowest bits of bytes that are 0 or 1.
#[inline]
fn bits(flags: &[u8; BLOCK]) -> u64 {
    let (words, _) = flags.as_chunks::<8>();
    let gathered = words
        .iter()
        .zip((0..).step_by(8))
        .map(|(word, shift)| (u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56) << shift);
    gathered.fold(0, |all, word| all | word)
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
    let (first, others) = run.split_at(width - 1);
    let mut rolled =
        first.iter().fold(0_u64, |rolled, unit| rolled.wrapping_mul(BASE).wrapping_add(unit.hash));
    // Nothing has left the first window when it is full.
    let gone = std::iter::once(0).chain(run.iter().map(|unit| unit.hash.wrapping_mul(drop)));
    hashes.extend(others.iter().zip(gone).map(|(unit, gone)| {
        rolled = rolled.wrapping_mul(BASE).wrapping_add(unit.hash).wrapping_sub(gone);
        short(mixed(rolled ^ seed))
    }));
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
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const WIDTHS: Widths = Widths { words: 3, chars: 2 };

    fn set(text: &str) -> BTreeSet<u32> {
        Shingles::default().of(text, WIDTHS, Glyphs::get()).iter().copied().collect()
    }

    fn count(text: &str) -> usize {
        Shingles::default().of(text, WIDTHS, Glyphs::get()).len()
    }

    /// The units, said plainly.
    fn plain(text: &str) -> Vec<(u64, bool)> {
        let (mut units, mut word) = (Vec::new(), String::new());
        for c in text.chars().chain(['\n']) {
            let class = Glyphs::get().of(c);
            if class & glyph::WORD != 0 && class & glyph::DENSE == 0 {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                units.push((xxh3_64(word.as_bytes()), false));
                word.clear();
            }
            if class & glyph::WORD != 0 {
                units.push((u64::from(u32::from(c)).wrapping_mul(SPREAD), true));
            }
        }
        units
    }

    fn units(text: &str) -> Vec<(u64, bool)> {
        let mut units = Vec::new();
        units_of(text, Glyphs::get(), &mut units);
        units.into_iter().map(|unit| (unit.hash, unit.dense)).collect()
    }

    #[test]
    fn leads_that_are_not_looked_up_begin_letters_alone() {
        for c in (0xb000..0xd000_u32).chain(0x100..0x180).chain(0x400..0x480).filter_map(char::from_u32) {
            let class = Glyphs::get().of(c);
            assert!(class & glyph::LETTER != 0 && class & glyph::DENSE == 0, "{c:?}");
            let lead = c.to_string().as_bytes()[0];
            assert!(all_letters(lead), "{c:?}");
        }
        assert_eq!((0..=u8::MAX).filter(|lead| all_letters(*lead)).count(), 6);
    }

    proptest! {
        #[test]
        fn words_are_the_plain_ones_wherever_blocks_end(parts in prop::collection::vec(
            prop_oneof![
                any::<String>(),
                "[a-z]{1,9} ",
                "[a-z]{30,150}",
                "[a-zàéßñ0-9]{1,9}[,.]? ",
                "[а-яёa-z]{1,9} ",
                "[\u{ac00}-\u{ac80}\u{b000}-\u{b010}]{1,5} ",
                "[\u{915}-\u{93f}\u{94d}\u{964}]{1,6} ",
                "[\u{621}-\u{64a}\u{60c}\u{66a}]{1,6} ",
                "[\u{e01}-\u{e30}\u{4e00}-\u{4e40}]{1,30}",
                "[—“”…·× ]{1,4}",
            ], 0..40)) {
            let text = parts.concat();
            prop_assert_eq!(units(&text), plain(&text));
        }
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
