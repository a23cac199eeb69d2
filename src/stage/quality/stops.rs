//! The commonest words of some languages (`data/quality/stop_words.tsv`, written for the project).
//!
//! **Why**: running prose cannot do without them, lists of names, keywords and machine text can. In scripts without
//! spaces they are single characters.

use super::measure::word_hash;
use crate::model::Lang;
use std::collections::BTreeMap;

const WORDS: &str = include_str!("../../../data/quality/stop_words.tsv");

/// Sorted hashes of a language's commonest words, per language.
#[derive(Clone)]
pub(super) struct Stops(BTreeMap<Lang, Vec<u64>>);

impl Stops {
    pub(super) fn get() -> Self {
        let lists = WORDS.lines().skip(1).filter_map(|line| {
            let (tag, words) = line.split_once('\t')?;
            let mut hashes: Vec<u64> = words.split(' ').map(word_hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            Some((Lang::from_tag(tag)?, hashes))
        });
        Self(lists.collect())
    }

    /// The hashes of a language; empty if it has no list.
    pub(super) fn of(&self, lang: Lang) -> &[u64] {
        self.0.get(&lang).map(Vec::as_slice).unwrap_or_default()
    }
}
