//! The normal form of a text: NFKC, lower case, one space for a run of white space and none at the ends.
//!
//! **Why**: equal normal forms are equal content, and shingles are taken from it. Nearly every character of real text is
//! its own compatibility form and composes with nothing before it; for these one load from a table gives the lower-case
//! letter. Only a character followed by one of the others goes through the normalizer, with them: as text may be
//! cut before every character that is stable in this sense, the result is that of normalizing the whole.

use std::sync::LazyLock;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Set in an entry whose character is not stable, or has no single lower-case letter.
const UNSTABLE: u32 = 1 << 31;
/// Set in an entry of white space.
const SPACE: u32 = 1 << 30;
const PLANE: usize = 0x1_0000;

/// Lower-case letters of the stable characters of the basic plane.
static TABLE: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    (0..PLANE)
        .map(|point| u32::try_from(point).ok().and_then(char::from_u32).map_or(UNSTABLE, entry))
        .collect()
});

fn entry(c: char) -> u32 {
    if c.is_whitespace() && c.is_ascii() {
        return SPACE;
    }
    let stable = canonical_combining_class(c) == 0
        && is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes
        && !c.is_whitespace();
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) if stable => u32::from(lower),
        _ => UNSTABLE,
    }
}

/// Puts the normal form of `text` into `normal`, which is cleared and reused.
pub(crate) fn normalize(text: &str, normal: &mut String) {
    normal.clear();
    normal.reserve(text.len());
    let table = &**TABLE;
    let mut gap = false;
    // The last stable character is held back: what follows may belong to it.
    let mut held: Option<(usize, u32)> = None;
    // Where a stretch for the normalizer starts.
    let mut slow: Option<usize> = None;
    for (at, c) in text.char_indices() {
        let entry = table.get(c as usize).copied().unwrap_or(UNSTABLE);
        if entry & UNSTABLE != 0 {
            slow = slow.or_else(|| Some(held.take().map_or(at, |(start, _)| start)));
            continue;
        }
        if let Some(start) = slow.take() {
            push_slow(text.get(start..at).unwrap_or_default(), normal, &mut gap);
        } else if let Some((_, entry)) = held {
            push(entry, normal, &mut gap);
        }
        held = Some((at, entry));
    }
    match (slow, held) {
        (Some(start), _) => push_slow(text.get(start..).unwrap_or_default(), normal, &mut gap),
        (None, Some((_, entry))) => push(entry, normal, &mut gap),
        (None, None) => {}
    }
}

/// The lower-case letter of a character; of those with several the first.
#[inline]
pub(crate) fn lower(c: char) -> u32 {
    match TABLE.get(c as usize) {
        Some(entry) if entry & (UNSTABLE | SPACE) == 0 => *entry,
        _ => c.to_lowercase().next().map_or(0, u32::from),
    }
}

#[inline]
fn push(entry: u32, normal: &mut String, gap: &mut bool) {
    if entry & SPACE != 0 {
        *gap = true;
        return;
    }
    if std::mem::take(gap) && !normal.is_empty() {
        normal.push(' ');
    }
    normal.extend(char::from_u32(entry));
}

#[cold]
fn push_slow(text: &str, normal: &mut String, gap: &mut bool) {
    for c in text.nfkc().flat_map(char::to_lowercase) {
        push(if c.is_whitespace() { SPACE } else { u32::from(c) }, normal, gap);
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
            for text in [c.to_string(), format!("a{c}\u{301}"), format!("{c}{c} E{c}")] {
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
                    "\u{9c7}\u{9be}", "\u{2028}", "Å", "ｶﾞ", "\n\n", "℡", "\u{fb2c}", "\u{f71}\u{f72}\u{f74}",
                ]).prop_map(str::to_owned),
            ], 0..12)) {
            let text = parts.concat();
            prop_assert_eq!(normal(&text), plain(&text));
        }
    }
}
