//! Measures a fragment in one pass over its characters, and one over its words.

use crate::stage::glyph::{self, Glyphs};
use crate::stage::segment::sentence;
use crate::stage::shingle::{Shingles, Widths};
use xxhash_rust::xxh3::xxh3_64;

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
    shingles: Shingles,
    windows: Vec<u32>,
    words: Vec<u64>,
}

const SHORT_LINE: u32 = 20;
const WINDOWS: Widths = Widths { words: 5, chars: 12 };
/// Longer words are no stop words.
const STOP_BYTES: usize = 24;

impl Default for Meter {
    fn default() -> Self {
        Self { glyphs: Glyphs::get(), shingles: Shingles::default(), windows: Vec::new(), words: Vec::new() }
    }
}

impl Meter {
    /// Measures a text. `own`: marks that end its sentences; `stops`: sorted hashes of its commonest words.
    pub fn measure(&mut self, text: &str, own: &str, stops: &[u64]) -> Traits {
        let mut traits = Traits::default();
        self.words.clear();
        self.characters(text, own, stops, &mut traits);
        self.words.sort_unstable();
        traits.top_word = longest_run(&self.words);
        self.windows.clear();
        self.windows.extend_from_slice(self.shingles.of(text, WINDOWS, self.glyphs));
        self.windows.sort_unstable();
        traits.windows = count(self.windows.len());
        traits.repeats =
            count(self.windows.windows(2).filter(|pair| matches!(pair, [a, b] if a == b)).count());
        traits
    }

    fn characters(&mut self, text: &str, own: &str, stops: &[u64], traits: &mut Traits) {
        let mut chars = text.char_indices().peekable();
        let mut word: Option<usize> = None;
        let mut line = 0;
        let mut before = (' ', 0_u8);
        while let Some((at, c)) = chars.next() {
            let class = self.glyphs.of(c);
            traits.chars += 1;
            if class & glyph::WORD == 0 || class & glyph::DENSE != 0 {
                if let Some(start) = word.take() {
                    self.word(text.get(start..at).unwrap_or_default(), stops, traits);
                }
            } else if word.is_none() {
                word = Some(at);
            }
            if class & glyph::LETTER != 0 {
                traits.letters += 1;
                traits.capitals += u32::from(class & glyph::UPPER != 0);
                if class & glyph::DENSE != 0 {
                    traits.dense += 1;
                    traits.unmarked += u32::from(('\u{e00}'..='\u{eff}').contains(&c));
                    let hash = xxh3_64(c.encode_utf8(&mut [0; 4]).as_bytes());
                    traits.stops += u32::from(stops.binary_search(&hash).is_ok());
                } else if word.is_some() {
                    traits.word_chars += 1;
                }
            } else if class & (glyph::DIGIT | glyph::SYMBOL | glyph::BROKEN) != 0 {
                traits.digits += u32::from(class & glyph::DIGIT != 0);
                traits.symbols += u32::from(class & glyph::SYMBOL != 0);
                traits.broken += u32::from(class & glyph::BROKEN != 0);
                traits.word_chars += u32::from(class & glyph::DIGIT != 0);
                traits.links += u32::from(c == '@' && before.1 & glyph::WORD != 0);
            }
            if c == '\n' {
                self.line(&mut line, traits);
            } else if class & glyph::SPACE == 0 {
                line += 1;
            } else if line > 0 {
                line += 1;
            }
            if class & (glyph::WORD | glyph::SPACE) == 0 {
                let next = chars.peek().map_or(' ', |(_, c)| *c);
                if sentence::ends(c, own)
                    && !sentence::ends(before.0, own)
                    && (!next.is_alphanumeric() || !c.is_ascii())
                {
                    traits.sentences += 1;
                }
                let slashes = c == '/' && before.0 == '/';
                traits.links += u32::from(slashes || (c == '.' && is_www(text, at)));
            }
            traits.broken += u32::from(matches!(before.0, 'Ã' | 'Â' | 'â' | 'Ð' | 'Ñ') && wrongly_decoded(c));
            before = (c, class);
        }
        if let Some(start) = word {
            self.word(text.get(start..).unwrap_or_default(), stops, traits);
        }
        self.line(&mut line, traits);
    }

    fn line(&self, line: &mut u32, traits: &mut Traits) {
        if *line > 0 {
            traits.lines += 1;
            traits.short_lines += u32::from(*line < SHORT_LINE);
        }
        *line = 0;
    }

    fn word(&mut self, word: &str, stops: &[u64], traits: &mut Traits) {
        traits.words += 1;
        let mut buffer = [0; STOP_BYTES + 8];
        let hash = match lowered(word, &mut buffer) {
            Some(lower) => xxh3_64(lower),
            None => xxh3_64(word.as_bytes()),
        };
        if stops.binary_search(&hash).is_ok() {
            traits.stops += 1;
        } else if word.len() > 3 {
            self.words.push(hash);
        }
    }
}

/// A short word in lower case.
fn lowered<'a>(word: &str, buffer: &'a mut [u8; STOP_BYTES + 8]) -> Option<&'a [u8]> {
    if word.len() > STOP_BYTES {
        return None;
    }
    if word.is_ascii() {
        let lower = buffer.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        return Some(lower);
    }
    let mut length = 0;
    for c in word.chars().flat_map(char::to_lowercase) {
        length += c.encode_utf8(buffer.get_mut(length..length + 4)?).len();
    }
    buffer.get(..length)
}

fn is_www(text: &str, dot: usize) -> bool {
    dot >= 3 && text.as_bytes().get(dot - 3..dot).is_some_and(|head| head.eq_ignore_ascii_case(b"www"))
}

/// What follows a lead byte when UTF-8 was read as Windows-1252.
fn wrongly_decoded(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{bf}' | '€' | '™' | 'œ' | '\u{2018}'..='\u{201e}' | '†' | '‡' | '‰' | '˜' | '›')
}

fn longest_run(sorted: &[u64]) -> u32 {
    sorted.chunk_by(|a, b| a == b).map(<[u64]>::len).max().map_or(0, count)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
