//! What a character is, in one load: letter, digit, mark, space, symbol, whether its script has no spaces, and its lower case.
//!
//! **Why**: cleaning, quality and shingles look at every character of a corpus. Unicode's tables cost a
//! search per character; four bytes per code point of the basic plane, filled once, cost a load.

use crate::model::normal::{caseless, decoded};
use crate::workers::{cores, in_parallel};
use std::sync::LazyLock;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// A letter of any script, ideographs too.
pub const LETTER: u8 = 1;
/// A digit or another number.
pub const DIGIT: u8 = 2;
/// An upper-case or title-case letter.
pub const UPPER: u8 = 4;
/// A mark that belongs to the character before it, or a joiner.
pub const MARK: u8 = 8;
/// White space.
pub const SPACE: u8 = 16;
/// A script without spaces between words: Han, Kana, Thai, Lao, Khmer, Burmese.
pub const DENSE: u8 = 32;
/// A symbol: signs of money, mathematics, pictures, code and markup.
pub const SYMBOL: u8 = 64;
/// Text that went wrong: control codes, the replacement character, private use, unassigned.
pub const BROKEN: u8 = 128;
/// What words are made of.
pub const WORD: u8 = LETTER | DIGIT | MARK;

const PLANE: u32 = 0x1_0000;

/// Code points that are computed at a time: all workers wait for the table.
const BLOCK: u32 = 0x400;

static TABLE: LazyLock<Box<[Glyph]>> = LazyLock::new(|| {
    let starts: Vec<u32> = (0..PLANE).step_by(BLOCK as usize).collect();
    let block = |at: usize| {
        let start = starts.get(at).copied().unwrap_or(PLANE);
        Ok((start..start + BLOCK).map(Glyph::of).collect::<Vec<_>>())
    };
    let blocks = in_parallel("glyphs", starts.len(), cores(), block);
    blocks.map_or_else(|_| (0..PLANE).map(Glyph::of).collect(), |blocks| blocks.concat().into())
});

/// A character: its classes in the lowest byte, its lower-case letter above.
#[derive(Clone, Copy)]
pub struct Glyph(u32);

impl Glyph {
    /// The character of a code point.
    fn of(point: u32) -> Self {
        let Some(c) = char::from_u32(point) else { return Self(u32::from(BROKEN)) };
        let (class, lower) = match c {
            _ if !caseless(c) => (computed(c), c.to_lowercase().next()),
            '\u{e000}'.. => (BROKEN, Some(c)),
            '\u{a000}'.. => (LETTER, Some(c)),
            _ => (LETTER | DENSE, Some(c)),
        };
        Self(u32::from(class) | lower.map_or(0, u32::from) << 8)
    }

    /// Its classes.
    #[inline]
    pub fn class(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Its lower-case letter; of those with several the first.
    #[inline]
    pub fn lower(self) -> u32 {
        self.0 >> 8
    }
}

/// The characters, for text that is looked at character by character.
#[derive(Clone, Copy)]
pub struct Glyphs(&'static [Glyph]);

impl Glyphs {
    /// The table; filled at the first call of the process (some milliseconds).
    pub fn get() -> Self {
        Self(&TABLE)
    }

    /// The classes of the character at `at` of a text, its code point and its length in bytes; `at` is the start of one.
    #[inline]
    pub(crate) fn at(self, text: &str, at: usize) -> (u8, u32, usize) {
        let (point, length) = decoded(text, at);
        (self.glyph(point).class(), point, length)
    }

    /// The character of a code point.
    #[inline]
    pub fn glyph(self, point: u32) -> Glyph {
        match self.0.get(point as usize) {
            Some(glyph) => *glyph,
            None => Glyph::of(point),
        }
    }

    /// The classes of a character.
    #[inline]
    pub fn of(self, c: char) -> u8 {
        self.glyph(u32::from(c)).class()
    }
}

/// The classes of a character from Unicode's own tables.
fn computed(c: char) -> u8 {
    use GeneralCategory as G;
    let plain = match c.general_category() {
        G::UppercaseLetter | G::TitlecaseLetter => LETTER | UPPER,
        G::LowercaseLetter | G::OtherLetter | G::ModifierLetter => LETTER,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => DIGIT,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => MARK,
        G::SpaceSeparator | G::LineSeparator | G::ParagraphSeparator => SPACE,
        G::MathSymbol | G::CurrencySymbol | G::ModifierSymbol | G::OtherSymbol => SYMBOL,
        G::Control if c.is_whitespace() => SPACE,
        G::Control | G::Surrogate | G::PrivateUse | G::Unassigned => BROKEN,
        _ => 0,
    };
    match c {
        '\u{200c}' | '\u{200d}' => MARK,
        '\u{fffd}' => BROKEN,
        '#' | '*' | '_' | '\\' | '@' | '{' | '}' | '[' | ']' => SYMBOL,
        _ if plain & (LETTER | MARK) != 0 && dense(c) => plain | DENSE,
        _ => plain,
    }
}

fn dense(c: char) -> bool {
    use Script as S;
    matches!(
        c.script(),
        S::Han | S::Hiragana | S::Katakana | S::Thai | S::Lao | S::Khmer | S::Myanmar | S::Bopomofo
    ) || matches!(c, 'ー' | 'ｰ' | '々' | '〆')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind() {
        let glyphs = Glyphs::get();
        for (c, class) in [
            ('a', LETTER),
            ('É', LETTER | UPPER),
            ('ß', LETTER),
            ('7', DIGIT),
            ('٣', DIGIT),
            ('\u{301}', MARK),
            ('\u{200d}', MARK),
            ('\n', SPACE),
            ('\u{3000}', SPACE),
            ('漢', LETTER | DENSE),
            ('ー', LETTER | DENSE),
            ('ไ', LETTER | DENSE),
            ('\u{e31}', MARK | DENSE),
            ('한', LETTER),
            ('አ', LETTER),
            ('|', SYMBOL),
            ('€', SYMBOL),
            ('😀', SYMBOL),
            ('.', 0),
            ('\0', BROKEN),
            ('\u{fffd}', BROKEN),
            ('𠀀', LETTER | DENSE),
        ] {
            assert_eq!(glyphs.of(c), class, "{c:?}");
        }
    }

    #[test]
    fn classes_white_space_and_lower_case_of_every_character() {
        let glyphs = Glyphs::get();
        for c in '\0'..=char::MAX {
            assert_eq!(glyphs.of(c), computed(c), "{c:?}");
            assert_eq!(glyphs.of(c) & SPACE != 0, c.is_whitespace(), "{c:?}");
            assert_eq!(char::from_u32(glyphs.glyph(u32::from(c)).lower()), c.to_lowercase().next(), "{c:?}");
        }
    }
}
