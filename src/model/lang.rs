//! A lang: language and script, as FineWeb-2 names them (`amh_Ethi`), with what segmentation needs.
//!
//! **Why**: the accepted tags and their traits are data (`data/langs.tsv`), not code, so adding a
//! language is adding a line. In memory a lang is an index; what is written carries the tag.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// A language and script. Ordered by tag; [`Lang::UND`] comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lang(u16);

/// One line of `data/langs.tsv`.
#[derive(Debug)]
struct Traits {
    tag: &'static str,
    name: &'static str,
    english_name: &'static str,
    lid: &'static str,
    dense: bool,
    spaces: bool,
    sentence_end: &'static str,
}

struct Table {
    rows: Vec<Traits>,
    by_tag: BTreeMap<&'static str, u16>,
    by_lid: BTreeMap<&'static str, u16>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let undetermined = Traits {
        tag: "und",
        name: "und",
        english_name: "undetermined",
        lid: "",
        dense: false,
        spaces: true,
        sentence_end: ".!?…。！？।؟",
    };
    let mut rows = vec![undetermined];
    rows.extend(include_str!("../../data/langs.tsv").lines().skip(1).filter_map(traits_of));
    rows.get_mut(1..).unwrap_or_default().sort_by_key(|row| row.tag);
    let index = |i: usize| u16::try_from(i).unwrap_or(u16::MAX);
    let by_tag = rows.iter().enumerate().map(|(i, row)| (row.tag, index(i))).collect();
    let by_lid = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| !row.lid.is_empty())
        .map(|(i, row)| (row.lid, index(i)))
        .collect();
    Table { rows, by_tag, by_lid }
});

fn traits_of(line: &'static str) -> Option<Traits> {
    let mut cells = line.split('\t');
    let mut next = || cells.next();
    Some(Traits {
        tag: next()?,
        name: next()?,
        english_name: next()?,
        lid: next()?,
        dense: next()? == "1",
        spaces: next()? == "1",
        sentence_end: next()?,
    })
}

impl Lang {
    /// Undetermined: not identified, or not in the table.
    pub const UND: Self = Self(0);

    /// Its number in the table: for state that is discarded when the table changes.
    pub(crate) fn index(self) -> u16 {
        self.0
    }

    /// The lang of a number; [`Lang::UND`] for one that the table does not have.
    pub(crate) fn of_index(index: u16) -> Self {
        if usize::from(index) < TABLE.rows.len() { Self(index) } else { Self::UND }
    }

    /// The lang with this tag (`por_Latn`); `None` if it is not in the table.
    pub fn from_tag(tag: &str) -> Option<Self> {
        TABLE.by_tag.get(tag).map(|i| Self(*i))
    }

    /// The lang that a label of the fastText model names (`pt`); `None` if it is not in the table.
    pub fn from_lid(label: &str) -> Option<Self> {
        TABLE.by_lid.get(label).map(|i| Self(*i))
    }

    /// Every lang of the table, in tag order, without [`Lang::UND`].
    pub fn all() -> impl Iterator<Item = Self> {
        (1..TABLE.rows.len()).filter_map(|i| u16::try_from(i).ok()).map(Self)
    }

    fn traits(self) -> &'static Traits {
        TABLE.rows.get(usize::from(self.0)).unwrap_or(&TABLE.rows[0])
    }

    /// `por_Latn`.
    pub fn tag(self) -> &'static str {
        self.traits().tag
    }

    /// The ISO 639-3 part of the tag, `por`.
    pub fn code(self) -> &'static str {
        self.tag().split('_').next().unwrap_or("und")
    }

    /// The language's own name.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// Its English name, for prompts.
    pub fn english_name(self) -> &'static str {
        self.traits().english_name
    }

    /// Its label in lid.176 (ISO 639-1 where there is one): also the code that translators use.
    pub fn short(self) -> &'static str {
        self.traits().lid
    }

    /// Few characters say much (Han, Kana, Hangul): lengths in characters are scaled.
    pub fn dense(self) -> bool {
        self.traits().dense
    }

    /// Words stand apart by spaces.
    pub fn spaced(self) -> bool {
        self.traits().spaces
    }

    /// The characters that end a sentence.
    pub fn sentence_end(self) -> &'static str {
        self.traits().sentence_end
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_complete_and_each_name_is_unique() {
        let lines = include_str!("../../data/langs.tsv").lines().skip(1).count();
        assert_eq!(Lang::all().count(), lines, "a line of langs.tsv has too few cells");
        let tags: BTreeSet<&str> = Lang::all().map(Lang::tag).collect();
        let lids: BTreeSet<&str> = Lang::all().map(Lang::short).collect();
        assert_eq!((tags.len(), lids.len()), (lines, lines));
        assert!(Lang::all().all(|lang| !lang.sentence_end().is_empty()));
    }

    #[test]
    fn tags_and_labels_lead_to_the_same_lang() {
        let por = Lang::from_tag("por_Latn").expect("por_Latn is in the table");
        assert_eq!(Lang::from_lid("pt"), Some(por));
        assert_eq!((por.tag(), por.code(), por.english_name()), ("por_Latn", "por", "Portuguese"));
        assert!(por.spaced() && !por.dense());
        assert_eq!(Lang::from_tag("xxx_Xxxx"), None);
        assert_eq!(Lang::default(), Lang::UND);
    }
}
