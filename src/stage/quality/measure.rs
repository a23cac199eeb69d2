//! Measures a fragment in one pass over its characters, and one over its words.

use super::plain;
use super::repeats::Repeats;
use super::stops::Hashes;
use crate::stage::glyph::{self, Glyph, Glyphs};
use crate::stage::segment::sentence;
use crate::stage::shingle::{Unit, Widths, mixed, windows_of};
use std::str::Chars;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traits {
    /// Characters.
    pub chars: u32,
    /// Letters.
    pub letters: u32,
    /// Letters of scripts without spaces.
    pub dense: u32,
    /// Letters of Thai and Lao, which have no sentence marks either.
    pub unmarked: u32,
    /// Upper-case letters.
    pub capitals: u32,
    /// Digits.
    pub digits: u32,
    /// Symbols.
    pub symbols: u32,
    /// Replacement characters, control codes, signs of a wrong encoding.
    pub broken: u32,
    /// Sentence ends.
    pub sentences: u32,
    /// Words of spaced scripts.
    pub words: u32,
    /// Their letters and digits.
    pub word_chars: u32,
    /// Words, or single characters of scripts without spaces, that are among the language's commonest.
    pub stops: u32,
    /// How often the commonest other word stands.
    pub top_word: u32,
    /// Links, addresses and mail.
    pub links: u32,
    /// Lines with text.
    pub lines: u32,
    /// Those of under 20 characters.
    pub short_lines: u32,
    /// Windows of words or characters.
    pub windows: u32,
    /// Those that stood before.
    pub repeats: u32,
}

/// Measures fragments; keeps its buffers.
pub struct Meter {
    glyphs: Glyphs,
    units: Vec<Unit>,
    words: Vec<u32>,
    windows: Vec<u32>,
    repeats: Repeats,
}

const SHORT_LINE: u32 = 20;
const WINDOWS: Widths = Widths { words: 5, chars: 12 };

impl Default for Meter {
    fn default() -> Self {
        let (units, words, windows) = (Vec::new(), Vec::new(), Vec::new());
        Self { glyphs: Glyphs::get(), units, words, windows, repeats: Repeats::default() }
    }
}

impl Meter {
    /// Measures a text of under two million characters. `own`: marks that end its sentences; `stops`: its language's
    /// commonest words.
    pub(super) fn measure(&mut self, text: &str, own: &str, stops: Option<&Hashes>) -> Traits {
        let mut traits = Traits::default();
        self.units.clear();
        self.words.clear();
        self.windows.clear();
        self.characters(text, own, stops, &mut traits);
        traits.top_word = self.repeats.most(&self.words);
        windows_of(&mut self.units, WINDOWS, &mut self.windows);
        traits.windows = count(self.windows.len());
        traits.repeats = self.repeats.again(&self.windows);
        traits
    }

    fn characters(&mut self, text: &str, own: &str, stops: Option<&Hashes>, traits: &mut Traits) {
        let bytes = text.as_bytes();
        let mut line = 0;
        let mut before = (' ', glyph::SPACE);
        let mut at = 0;
        while let Some(first) = bytes.get(at) {
            if *first == b' ' {
                traits.chars += 1;
                line += u32::from(line > 0);
                (before, at) = ((' ', glyph::SPACE), at + 1);
                continue;
            }
            if first.is_ascii_alphanumeric()
                && let Some((word, end)) = self.plain_word(text, at)
            {
                self.close(&word, stops, traits);
                line += word.chars;
                (before, at) = (word.last, end);
                continue;
            }
            let mut chars = text.get(at..).unwrap_or_default().chars();
            let Some(c) = chars.next() else { break };
            let glyph = self.glyphs.glyph(u32::from(c));
            let class = glyph.class();
            if of_word(class) {
                let word = self.word((c, glyph), before.0, &mut chars);
                self.close(&word, stops, traits);
                line += word.chars;
                (before, at) = (word.last, text.len() - chars.as_str().len());
                continue;
            }
            at += c.len_utf8();
            traits.chars += 1;
            traits.broken += u32::from(is_broken(before.0, c));
            if c == '\n' {
                end_line(&mut line, traits);
            } else if class & glyph::SPACE != 0 {
                line += u32::from(line > 0);
            } else if class & glyph::DENSE != 0 {
                line += 1;
                self.dense(c, glyph, stops, traits);
            } else {
                line += 1;
                other(c, class, before, traits);
                let is_end = sentence::ends(c, own) && !sentence::ends(before.0, own);
                // A full stop inside a number or an address is none.
                let inside = c.is_ascii() && bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
                traits.sentences += u32::from(is_end && !inside);
                traits.links += u32::from(c == '.' && is_www(bytes, at - 1));
            }
            before = (c, class);
        }
        end_line(&mut line, traits);
    }

    /// The word that begins at `from`, and where it ends; `None` unless it is ASCII as a whole.
    fn plain_word(&self, text: &str, from: usize) -> Option<(Word, usize)> {
        let run = plain::run(text.as_bytes(), from);
        let end = from + run.length;
        if text.as_bytes().get(end).is_some_and(|next| !next.is_ascii())
            && of_word(self.glyphs.at(text, end).0)
        {
            return None;
        }
        let last = char::from(text.as_bytes().get(end - 1).copied().unwrap_or_default());
        let kinds = u64::from(run.digits) | u64::from(run.capitals) << LANE;
        let last = (last, self.glyphs.of(last));
        Some((Word { hash: run.hash, chars: count(run.length), kinds, broken: 0, last }, end))
    }

    /// Reads a word to its end; `before` is the character before it. Counts stay in registers: most characters of a text are
    /// read here.
    fn word(&self, first: (char, Glyph), before: char, chars: &mut Chars<'_>) -> Word {
        let (mut hash, mut count, mut kinds, mut broken, mut wide) = (0, 0, 0, 0, 0);
        let ((mut c, mut glyph), mut before) = (first, before);
        let whole = chars.clone();
        loop {
            hash = extended(hash, glyph);
            wide |= glyph.lower();
            count += 1;
            kinds += kind(glyph.class());
            broken += u32::from(is_broken(before, c));
            let mut ahead = chars.clone();
            let Some(next) = ahead.next() else { break };
            let next_glyph = self.glyphs.glyph(u32::from(next));
            if !of_word(next_glyph.class()) {
                break;
            }
            *chars = ahead;
            before = c;
            (c, glyph) = (next, next_glyph);
        }
        if wide < 0x80 {
            // Such as the sign of kelvins, whose lower case is a `k`.
            hash = folded(std::iter::once(first.0).chain(whole.take(count as usize - 1)), self.glyphs);
        }
        Word { hash, chars: count, kinds, broken, last: (c, glyph.class()) }
    }

    /// Counts a character of a script without spaces.
    fn dense(&mut self, c: char, glyph: Glyph, stops: Option<&Hashes>, traits: &mut Traits) {
        let hash = mixed(extended(0, glyph));
        self.units.push(Unit { hash, dense: true });
        let letter = u32::from(glyph.class() & glyph::LETTER != 0);
        traits.letters += letter;
        traits.dense += letter;
        traits.unmarked += letter & u32::from(('\u{e00}'..='\u{eff}').contains(&c));
        traits.stops += letter & u32::from(stops.is_some_and(|stops| stops.has(hash)));
    }

    #[inline]
    fn close(&mut self, word: &Word, stops: Option<&Hashes>, traits: &mut Traits) {
        let Kinds { digits, capitals, marks } = word.kinds();
        traits.chars += word.chars;
        traits.letters += word.chars - digits - marks;
        traits.digits += digits;
        traits.capitals += capitals;
        traits.word_chars += word.chars - marks;
        traits.broken += word.broken;
        let hash = mixed(word.hash);
        self.units.push(Unit { hash, dense: false });
        traits.words += 1;
        let stop = stops.is_some_and(|stops| stops.has(hash));
        traits.stops += u32::from(stop);
        // Pushed in any case, so that nothing is to be guessed.
        self.words.push(low(hash));
        self.words.truncate(self.words.len() - usize::from(stop || word.chars <= 3));
    }
}

/// Counts a character that is neither white space nor part of a word.
fn other(c: char, class: u8, before: (char, u8), traits: &mut Traits) {
    traits.symbols += u32::from(class & glyph::SYMBOL != 0);
    traits.broken += u32::from(class & glyph::BROKEN != 0);
    let mail = c == '@' && before.1 & glyph::WORD != 0;
    let slashes = c == '/' && before.0 == '/';
    traits.links += u32::from(mail || slashes);
}

/// A word of a script with spaces: the hash of its lower-case letters, and what it is made of.
struct Word {
    hash: u64,
    chars: u32,
    /// A sum of [`kind`]s.
    kinds: u64,
    broken: u32,
    /// Its last character, and its class.
    last: (char, u8),
}

/// What characters of a word are, but for letters.
struct Kinds {
    digits: u32,
    capitals: u32,
    marks: u32,
}

/// Bits of one count among a sum of [`kind`]s.
const LANE: u32 = 21;

/// A character of a word as three counts in one number: digits, capitals, marks.
#[inline]
fn kind(class: u8) -> u64 {
    const { assert!(glyph::DIGIT == 1 << 1 && glyph::UPPER == 1 << 2 && glyph::MARK == 1 << 3) };
    // Each of the three bits comes to the lowest one of its lane.
    let bits = u64::from(class >> 1 & 7) * (1 | 1 << (LANE - 1) | 1 << (2 * LANE - 2));
    bits & (1 | 1 << LANE | 1 << (2 * LANE))
}

impl Word {
    #[inline]
    fn kinds(&self) -> Kinds {
        let lane = |number: u32| low(self.kinds >> (number * LANE)) & ((1 << LANE) - 1);
        Kinds { digits: lane(0), capitals: lane(1), marks: lane(2) }
    }
}

/// Whether a class is that of characters of words of a script with spaces.
#[inline]
fn of_word(class: u8) -> bool {
    class & glyph::WORD != 0 && class & glyph::DENSE == 0
}

/// Whether two characters are one that was decoded wrongly.
#[inline]
fn is_broken(before: char, c: char) -> bool {
    before >= 'Â' && matches!(before, 'Ã' | 'Â' | 'â' | 'Ð' | 'Ñ') && wrongly_decoded(c)
}

/// The hash of a word and one more character, whatever its case.
#[inline]
fn extended(hash: u64, glyph: Glyph) -> u64 {
    plain::grown(hash, u64::from(glyph.lower()))
}

/// The hash of a whole word, whatever its case.
pub(super) fn word_hash(text: &str, glyphs: Glyphs) -> u64 {
    mixed(folded(text.chars(), glyphs))
}

/// The hash of a word's characters that is not mixed yet: of bytes if its lower-case letters are all ASCII.
#[cold]
fn folded(chars: impl Iterator<Item = char> + Clone, glyphs: Glyphs) -> u64 {
    let glyphs = chars.map(|c| glyphs.glyph(u32::from(c)));
    let bytes: Option<Vec<u8>> = glyphs.clone().map(|glyph| u8::try_from(glyph.lower()).ok()).collect();
    match bytes.filter(|bytes| bytes.is_ascii()) {
        Some(bytes) => plain::run(&bytes, 0).hash,
        None => glyphs.fold(0, extended),
    }
}

fn end_line(line: &mut u32, traits: &mut Traits) {
    if *line > 0 {
        traits.lines += 1;
        traits.short_lines += u32::from(*line < SHORT_LINE);
    }
    *line = 0;
}

fn is_www(bytes: &[u8], dot: usize) -> bool {
    dot >= 3 && bytes.get(dot - 3..dot).is_some_and(|head| head.eq_ignore_ascii_case(b"www"))
}

/// What follows a lead byte when UTF-8 was read as Windows-1252.
fn wrongly_decoded(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{bf}' | '€' | '™' | 'œ' | '\u{2018}'..='\u{201e}' | '†' | '‡' | '‰' | '˜' | '›')
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a well-mixed hash")]
fn low(hash: u64) -> u32 {
    hash as u32
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One character after the other, each counted where it stands.
    fn plainly(meter: &mut Meter, text: &str, own: &str, stops: &[&str], traits: &mut Traits) {
        let bytes = text.as_bytes();
        let mut word = String::new();
        let mut line = 0;
        let mut before = (' ', glyph::SPACE);
        for (at, c) in text.char_indices() {
            let class = meter.glyphs.of(c);
            traits.chars += 1;
            if class & glyph::WORD != 0 && class & glyph::DENSE == 0 {
                word.push(c);
                traits.letters += u32::from(class & glyph::LETTER != 0);
                traits.capitals += u32::from(class & glyph::UPPER != 0);
                traits.digits += u32::from(class & glyph::DIGIT != 0);
                traits.word_chars += u32::from(class & glyph::MARK == 0);
                line += 1;
            } else {
                plain_close(meter, &mut word, stops, traits);
                if c == '\n' {
                    end_line(&mut line, traits);
                } else if class & glyph::SPACE != 0 {
                    line += u32::from(line > 0);
                } else if class & glyph::DENSE != 0 {
                    line += 1;
                    let hash = word_hash(&c.to_string(), meter.glyphs);
                    meter.units.push(Unit { hash, dense: true });
                    if class & glyph::LETTER != 0 {
                        traits.letters += 1;
                        traits.dense += 1;
                        traits.unmarked += u32::from(('\u{e00}'..='\u{eff}').contains(&c));
                        traits.stops += u32::from(stops.contains(&&*c.to_string()));
                    }
                } else {
                    line += 1;
                    other(c, class, before, traits);
                    let next = bytes.get(at + c.len_utf8());
                    let is_end = sentence::ends(c, own) && !sentence::ends(before.0, own);
                    // A full stop inside a number or an address is none.
                    let inside = c.is_ascii() && next.is_some_and(u8::is_ascii_alphanumeric);
                    traits.sentences += u32::from(is_end && !inside);
                    traits.links += u32::from(c == '.' && is_www(bytes, at));
                }
            }
            traits.broken += u32::from(matches!(before.0, 'Ã' | 'Â' | 'â' | 'Ð' | 'Ñ') && wrongly_decoded(c));
            before = (c, class);
        }
        plain_close(meter, &mut word, stops, traits);
        end_line(&mut line, traits);
    }

    fn plain_close(meter: &mut Meter, word: &mut String, stops: &[&str], traits: &mut Traits) {
        let word = std::mem::take(word);
        if word.is_empty() {
            return;
        }
        let hash = word_hash(&word, meter.glyphs);
        meter.units.push(Unit { hash, dense: false });
        traits.words += 1;
        if stops.contains(&&*word.to_lowercase()) {
            traits.stops += 1;
        } else if word.chars().count() > 3 {
            meter.words.push(low(hash));
        }
    }

    fn hashes(words: &[&str]) -> Hashes {
        words.iter().map(|word| word_hash(word, Glyphs::get())).collect()
    }

    proptest! {
        #[test]
        fn words_are_counted_as_their_characters(
            text in "[a-zA-Z0-9 .\\n\u{212a}İÂÃâÐÑé\u{80}\u{301}€潮ไ@/#\u{fffd}😀𠀀한]{0,60}|\\PC{0,40}",
        ) {
            let stops = ["a", "潮"];
            let (mut one, mut other) = (Meter::default(), Meter::default());
            let (mut traits, mut expected) = (Traits::default(), Traits::default());
            one.characters(&text, ".!", Some(&hashes(&stops)), &mut traits);
            plainly(&mut other, &text, ".!", &stops, &mut expected);
            prop_assert_eq!(traits, expected);
            prop_assert_eq!(one.words, other.words);
            prop_assert!(one.units.iter().map(|unit| (unit.hash, unit.dense)).eq(other.units.iter().map(|unit| (unit.hash, unit.dense))));
        }
    }

    #[test]
    fn each_trait_is_counted() {
        let stops = hashes(&["a"]);
        let traits = Meter::default().measure(
            "A maré SOBE 12 vezes.\nVer www.a.b, x@y.z e http://c! 潮\u{fffd}",
            ".!",
            Some(&stops),
        );
        assert_eq!((traits.chars, traits.capitals, traits.digits, traits.broken), (55, 6, 2, 1));
        assert_eq!((traits.sentences, traits.links, traits.stops, traits.dense), (2, 3, 2, 1));
        assert_eq!((traits.lines, traits.short_lines), (2, 0));
        let twice = "um dois três quatro cinco seis sete oito. ".repeat(2);
        let traits = Meter::default().measure(&twice, ".", None);
        assert_eq!((traits.words, traits.windows, traits.repeats, traits.top_word), (16, 12, 4, 2));
    }
}
