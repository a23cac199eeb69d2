//! The normal form of a text: NFKC, lower case, one space for a run of white space and none at the ends.
//!
//! **Why**: equal normal forms are equal content, and shingles are taken from it. Nearly all of real text is its own normal
//! form, so it is copied in runs; one load from a table tells whether a character may stand in a run. A mark may, if it
//! composes with nothing before it and marks stand in their order (virama, Thai tones). Only what is left goes through the
//! normalizer, with the character before it and the marks after it: text may be cut before every character that is a
//! starter in normal form, so the result is that of normalizing the whole.

use std::sync::LazyLock;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Set in an entry whose character may compose with what stands before it, or needs the normalizer otherwise.
const UNSTABLE: u32 = 1 << 31;
/// Set in an entry of white space.
const SPACE: u32 = 1 << 30;
/// Set in an entry of a mark that composes with nothing before it; its combining class stands in the low byte.
const MARK: u32 = 1 << 29;
/// Set in an entry whose character becomes several, none of which depends on others: their place in [`Table::parts`].
const PARTS: u32 = 1 << 28;
const PLANE: usize = 0x1_0000;

/// What becomes of the characters of the basic plane: the entry of one that may stand in a run is the character.
struct Table {
    entries: Box<[u32; PLANE]>,
    parts: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut parts = Vec::new();
    let mut entries: Box<[u32; PLANE]> =
        vec![UNSTABLE; PLANE].try_into().unwrap_or_else(|_| Box::new([UNSTABLE; PLANE]));
    for (entry, point) in entries.iter_mut().zip(0_u32..) {
        *entry = match char::from_u32(point) {
            Some(c) if caseless(c) => point,
            Some(c) => entry_of(c, &mut parts),
            None => UNSTABLE,
        };
    }
    Table { entries, parts }
});

/// Ideographs, syllables of Yi and Hangul, and private use: most of the basic plane. They are their own normal form and
/// have no case, so tables need not ask for each.
pub(crate) fn caseless(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{a48c}' | '\u{ac00}'..='\u{d7a3}' | '\u{e000}'..='\u{f8ff}')
}

fn entry_of(c: char, parts: &mut Vec<String>) -> u32 {
    if c.is_whitespace() {
        return if c.is_ascii() { SPACE } else { UNSTABLE };
    }
    let normal = is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes;
    let class = canonical_combining_class(c);
    let lower = || c.to_lowercase();
    if normal && class != 0 {
        return if lower().eq([c]) { MARK | u32::from(class) } else { UNSTABLE };
    }
    match (lower().next(), lower().nth(1)) {
        (Some(lower), None) if normal => return u32::from(lower),
        _ => {}
    }
    let starter = |c: char| {
        canonical_combining_class(c) == 0
            && is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes
            && !c.is_whitespace()
    };
    let whole = c.nfkc().collect::<String>();
    if class != 0 || whole.is_empty() || !whole.chars().all(starter) {
        return UNSTABLE;
    }
    parts.push(whole.chars().flat_map(char::to_lowercase).collect());
    PARTS | u32::try_from(parts.len() - 1).unwrap_or(0)
}

impl Table {
    /// The character at `at`, its length and its entry; a space past the end.
    #[inline]
    fn look(&self, text: &str, at: usize) -> (u32, usize, u32) {
        if at >= text.len() {
            return (u32::from(' '), 0, SPACE);
        }
        let (point, length) = decoded(text, at);
        if length == 4 {
            return (point, length, UNSTABLE);
        }
        (point, length, self.entries[(point & 0xffff) as usize])
    }

    /// Whether the character at `at` leaves what stands before it as it is.
    #[inline]
    fn cuts(&self, text: &str, at: usize) -> bool {
        self.look(text, at).2 & (UNSTABLE | MARK) == 0
    }
}

/// The code point that starts at `at`, and its length in bytes; `at` is the start of a character of the text.
#[inline]
pub(crate) fn decoded(text: &str, at: usize) -> (u32, usize) {
    let bytes = text.as_bytes();
    let first = bytes.get(at).copied().unwrap_or_default();
    let more = |i: usize| bytes.get(at + i).map_or(0, |byte| u32::from(byte & 0x3f));
    let lead = u32::from(first);
    match first {
        0..0x80 => (lead, 1),
        0x80..0xe0 => (((lead & 0x1f) << 6) | more(1), 2),
        0xe0..0xf0 => (((lead & 0x0f) << 12) | (more(1) << 6) | more(2), 3),
        0xf0.. => (((lead & 0x07) << 18) | (more(1) << 12) | (more(2) << 6) | more(3), 4),
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// How many bytes from `at` on are plain: ASCII without capitals and control codes, single spaces between such. 0 near the end.
#[inline]
fn plain_ascii(bytes: &[u8], at: usize) -> usize {
    let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<{ BLOCK + 1 }>()) else { return 0 };
    let odd =
        |byte: u8| u8::from(byte.wrapping_sub(b'A') < 26) | u8::from(byte.wrapping_sub(b' ') > b'~' - b' ');
    let mut flags = [0_u8; BLOCK];
    for i in 0..BLOCK {
        let (this, next) = (block[i], block[i + 1]);
        flags[i] = odd(this) | (u8::from(this == b' ') & (odd(next) | u8::from(next == b' ')));
    }
    let (words, _) = flags.as_chunks::<8>();
    for (word, start) in words.iter().zip((0..).step_by(8)) {
        let word = u64::from_le_bytes(*word);
        if word != 0 {
            return start + word.trailing_zeros() as usize / 8;
        }
    }
    BLOCK
}

impl Table {
    /// Whether a character of two or three bytes may stand in a run.
    #[inline]
    fn stands<const N: usize>(&self, bytes: [u8; N]) -> bool {
        let point = bytes
            .iter()
            .skip(1)
            .fold(u32::from(bytes[0]) & (0x7f >> N), |point, byte| (point << 6) | u32::from(byte & 0x3f));
        self.entries[(point & 0xffff) as usize] == point
    }

    /// Where the characters of `N` bytes (two or three) from `at` on that may stand in a run end, single spaces between such
    /// included.
    #[inline]
    fn after_wide<const N: usize>(&self, bytes: &[u8], mut at: usize) -> usize {
        // What begins a character of so many bytes.
        let begins =
            |first: u8| if N == 2 { (0xc2..0xe0).contains(&first) } else { (0xe0..0xf0).contains(&first) };
        while let Some(four) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let own = four.first_chunk::<N>().copied().unwrap_or([0; N]);
            if begins(own[0]) {
                if !self.stands(own) {
                    break;
                }
                at += N;
                continue;
            }
            // Punctuation and digits; letters are better looked at in blocks.
            if (b'!'..b'A').contains(&own[0]) {
                at += 1;
                continue;
            }
            let behind = four[1..].first_chunk::<N>().copied().unwrap_or([0; N]);
            if own[0] != b' ' || !begins(behind[0]) || !self.stands(behind) {
                break;
            }
            at += 1 + N;
        }
        at
    }
}

/// Puts the normal form of `text` into `normal`, which is cleared and reused.
pub(crate) fn normalize(text: &str, normal: &mut String) {
    normal.clear();
    normal.reserve(text.len());
    let table = &*TABLE;
    let bytes = text.as_bytes();
    let mut into = Into { normal, gap: false };
    // `run..at` is copied as it stands; `held` is its last starter, `class` that of the mark before `at`.
    let (mut run, mut at, mut held, mut class) = (0, 0, 0, 0);
    while let Some(first) = bytes.get(at) {
        let from = at;
        match first {
            // White space at the start of a run is none of it.
            b' ' if at == run => {}
            0..0x80 => at += plain_ascii(bytes, at),
            0xc2..0xe0 => at = table.after_wide::<2>(bytes, at),
            0xe0..0xf0 => at = table.after_wide::<3>(bytes, at),
            _ => {}
        }
        if at > from {
            // The start of the last character.
            let last = bytes.get(from..at).and_then(|run| run.iter().rposition(|byte| byte & 0xc0 != 0x80));
            (held, class) = (from + last.unwrap_or(0), 0);
            continue;
        }
        let (point, length, entry) = table.look(text, at);
        if entry == point {
            (held, class) = (at, 0);
            at += length;
            continue;
        }
        // Where the normalizer would have to start.
        let mut from = at;
        if entry & UNSTABLE != 0 {
            from = if at > run { held } else { at };
        } else if entry & SPACE != 0 {
            let (_, _, next) = table.look(text, at + 1);
            if point == u32::from(' ') && at > run && next & (UNSTABLE | MARK | SPACE) == 0 {
                (held, class) = (at, 0);
                at += 1;
                continue;
            }
            into.copy(text, run, at);
            into.gap = true;
            at += 1;
            (run, held, class) = (at, at, 0);
            continue;
        } else if entry & MARK != 0 {
            let its = entry & 0xff;
            if at > run && its >= class {
                class = its;
                at += length;
                continue;
            }
            from = if at > run { held } else { at };
        } else if table.cuts(text, at + length) {
            into.copy(text, run, at);
            match entry & PARTS {
                0 => into.push(char::from_u32(entry)),
                _ => into.parts(table, entry & !PARTS),
            }
            at += length;
            (run, held, class) = (at, at, 0);
            continue;
        }
        into.copy(text, run, from);
        at += length;
        while !table.cuts(text, at) {
            at += table.look(text, at).1;
        }
        into.slow(text.get(from..at).unwrap_or_default());
        (run, held, class) = (at, at, 0);
    }
    into.copy(text, run, at.min(text.len()));
}

/// The normal form so far, and whether white space stands between it and what comes.
struct Into<'a> {
    normal: &'a mut String,
    gap: bool,
}

impl Into<'_> {
    #[inline]
    fn space(&mut self) {
        if std::mem::take(&mut self.gap) && !self.normal.is_empty() {
            self.normal.push(' ');
        }
    }

    #[inline]
    fn copy(&mut self, text: &str, from: usize, to: usize) {
        if from < to {
            self.space();
            self.normal.push_str(text.get(from..to).unwrap_or_default());
        }
    }

    #[inline]
    fn push(&mut self, c: Option<char>) {
        self.space();
        self.normal.extend(c);
    }

    fn parts(&mut self, table: &Table, number: u32) {
        self.space();
        self.normal.push_str(table.parts.get(number as usize).map_or("", String::as_str));
    }

    #[cold]
    fn slow(&mut self, text: &str) {
        for c in text.nfkc().flat_map(char::to_lowercase) {
            if c.is_whitespace() {
                self.gap = true;
            } else {
                self.push(Some(c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the normal form is, said plainly.
    fn plain(text: &str) -> String {
        let whole: String = text.nfkc().flat_map(char::to_lowercase).collect();
        whole.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn normal(text: &str) -> String {
        let mut normal = "before".to_owned();
        normalize(text, &mut normal);
        normal
    }

    #[test]
    fn every_character_alone_and_in_company() {
        for c in '\0'..=char::MAX {
            for text in [
                c.to_string(),
                format!("a{c}\u{301}"),
                format!("{c}{c} E{c}"),
                format!("a{c}\u{323} \u{94d}{c}\u{301}\u{323}"),
                format!("a plain line that is longer than a block{c} another one, as long as that {c}"),
            ] {
                assert_eq!(normal(&text), plain(&text), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_plain_one(parts in prop::collection::vec(
            prop_oneof![
                any::<String>(),
                "[a-zA-Z ]{0,6}",
                prop::sample::select(vec![
                    "e\u{301}", "\u{301}", "\u{323}\u{307}", "\u{1100}\u{1161}\u{11a8}", "\u{ac00}\u{11a8}", "ﬁ", "（", "\u{a0}", "İ", "ς",
                    "\u{9c7}\u{9be}", "\u{e19}\u{e49}\u{e33}", "\u{e48}\u{e38}", "\u{915}\u{94d}", "\u{93c}", "  ", " a line of plain text that fills more than a block ", "\u{2028}", "Å", "ｶﾞ", "\n\n", "℡", "\u{fb2c}", "\u{f71}\u{f72}\u{f74}",
                ]).prop_map(str::to_owned),
            ], 0..12)) {
            let text = parts.concat();
            prop_assert_eq!(normal(&text), plain(&text));
        }
    }
}
