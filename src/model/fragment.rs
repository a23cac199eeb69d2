//! A fragment: byte ranges of one document's text, the unit that is kept or dropped.
//!
//! **Why**: the response of an exchange is the concatenation of these ranges and nothing else, so
//! anyone can prove it against the source (`isogloss verify`).

use super::normal::normalize;
use super::{Lang, Place};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// A byte range of a row's text, `start..end`, on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Names a fragment for ever: a hash of (shard key, row, spans).
pub type FragmentId = u128;

/// Names a text: a hash of its normalised form. Equal texts are one node of the duplicate graph.
pub type ContentId = u128;

/// What the front hands to dedup for one fragment: ids and hashes, never text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FragmentRow {
    /// Where it stands.
    pub place: Place,
    /// Its own language, which may differ from its document's.
    pub lang: Lang,
    /// Hash of its normalised text.
    pub content: ContentId,
    /// Seeded hash of its id: the order of samples and of ties.
    pub tick: u64,
}

/// The response: the concatenation of the spans. `None` if a span leaves the text or cuts a character.
pub fn response_of(text: &str, spans: &[Span]) -> Option<String> {
    let mut response = String::new();
    for span in spans {
        response.push_str(text.get(span.start as usize..span.end as usize)?);
    }
    Some(response)
}

/// The id of a fragment: 128-bit xxh3 of the shard key, the row and the spans.
pub fn fragment_id(shard_key: &str, row: u32, spans: &[Span]) -> FragmentId {
    let mut bytes = Vec::with_capacity(shard_key.len() + 12 + spans.len() * 8);
    bytes.extend_from_slice(&(shard_key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(shard_key.as_bytes());
    bytes.extend_from_slice(&row.to_le_bytes());
    for span in spans {
        bytes.extend_from_slice(&span.start.to_le_bytes());
        bytes.extend_from_slice(&span.end.to_le_bytes());
    }
    xxh3_128(&bytes)
}

/// The content id of a text: 128-bit xxh3 of its NFKC form, lower-cased, with runs of white space as
/// one space and none at the ends. `scratch` is cleared and reused.
pub fn content_of(text: &str, scratch: &mut String) -> ContentId {
    normalize(text, scratch);
    xxh3_128(scratch.as_bytes())
}

/// The seeded rank of a fragment: samples take the least ones, ties go to the least one.
pub fn tick_of(id: FragmentId, seed: u64) -> u64 {
    xxh3_64_with_seed(&id.to_le_bytes(), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ignores_case_space_and_compatibility_forms() {
        let mut scratch = String::new();
        let plain = content_of("Ação  rápida\n", &mut scratch);
        assert_eq!(plain, content_of("ac\u{327}a\u{303}o RÁPIDA", &mut scratch));
        assert_ne!(plain, content_of("acao rapida", &mut scratch));
        assert_eq!(content_of(" A b ", &mut scratch), content_of("a\tB", &mut scratch));
    }

    #[test]
    fn the_ascii_path_agrees_with_the_general_one() {
        let mut scratch = String::new();
        content_of("One  TWO\tthree \n", &mut scratch);
        assert_eq!(scratch, "one two three");
    }

    #[test]
    fn a_response_is_its_spans_or_nothing() {
        let spans = [Span { start: 0, end: 2 }, Span { start: 3, end: 5 }];
        assert_eq!(response_of("ab-cd", &spans).as_deref(), Some("abcd"));
        assert_eq!(response_of("é", &[Span { start: 0, end: 1 }]), None);
        assert_eq!(response_of("abc", &[Span { start: 0, end: 9 }]), None);
    }

    #[test]
    fn ids_depend_on_every_part() {
        let spans = [Span { start: 0, end: 2 }];
        let id = fragment_id("a", 1, &spans);
        assert_ne!(id, fragment_id("b", 1, &spans));
        assert_ne!(id, fragment_id("a", 2, &spans));
        assert_ne!(id, fragment_id("a", 1, &[Span { start: 0, end: 3 }]));
    }
}
