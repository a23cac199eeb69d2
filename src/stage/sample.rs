//! Bottom-k sample per lang.
//!
//! **Why**: model stages cost per row, so a budget caps the rows of a lang. The rows with the least ticks
//! (seeded hashes of their ids) are a uniform sample, and the same one however the rows arrive; a row more or
//! less changes the sample by one row.
//! **In** survivors of dedup, may retract. **Out** kept or dropped as `over_budget`, value 0.
//! **State** of langs with a budget: see `shares`. **Faults** none.

use super::cut::{CutContext, CutIn, cut};
use super::ranked::ByTick;
use super::shares::{Shares, counts, take_least};
use super::verdicts::Verdicts;
use crate::error::{Error, Result};
use crate::model::{Epoch, FragmentRow, Lang, Note, Reason, Stage, Verdict};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many fragments go on to the models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSettings {
    /// Fragments of each lang, from 0; without it, all of them.
    pub per_lang: Option<u64>,
    /// Fragments of the langs named here, by tag (`por_Latn = 1000`); it goes before `per_lang`.
    pub langs: BTreeMap<String, u64>,
}

impl SampleSettings {
    /// Checks that every lang is known.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the key, its value and the remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        match self.langs.iter().find(|(tag, _)| Lang::from_tag(tag).is_none()) {
            Some((tag, budget)) => Err(Error::config(format!(
                "lang unknown: key={key}.langs.{tag}, value={budget}, range=tags of data/langs.tsv, \
                 remedy=write a tag such as por_Latn"
            ))),
            None => Ok(()),
        }
    }

    /// Fragments of a lang at most; `None` for all of them.
    pub fn budget_of(&self, lang: Lang) -> Option<u64> {
        self.langs.get(lang.tag()).copied().or(self.per_lang)
    }

    fn budgets(&self) -> BTreeMap<Lang, u64> {
        self.langs.iter().filter_map(|(tag, budget)| Some((Lang::from_tag(tag)?, *budget))).collect()
    }
}

/// Wires the stage.
pub fn sample<'s>(rows: VecCollection<'s, Epoch, FragmentRow>, settings: &SampleSettings) -> Verdicts<'s> {
    let (per_lang, budgets) = (settings.per_lang, settings.budgets());
    if per_lang.is_none() && budgets.is_empty() {
        return Verdicts { dropped: rows.clone().filter(|_| false).map(|row| note(&row)), kept: rows };
    }
    let budget_of = move |lang: Lang| budgets.get(&lang).copied().or(per_lang);
    let (bounded, free) = (budget_of.clone(), budget_of.clone());
    let free = rows.clone().filter(move |row| free(row.lang).is_none());
    let bounded =
        rows.filter(move |row| bounded(row.lang).is_some()).map(|row| (row.lang, ByTick::from(row)));
    let wanted = counts("sample", bounded.clone()).map(move |(lang, _)| (lang, budget_of(lang).unwrap_or(0)));
    let Shares { kept, left } = take_least("sample", bounded, wanted);
    Verdicts {
        kept: free.concat(kept.map(|(_, ranked)| ranked.row)),
        dropped: left.map(|(_, ranked)| note(&ranked.row)),
    }
}

/// As [`sample`], from durable state: the changes of a delta.
pub(crate) fn sample_durable<'s>(
    rows: VecCollection<'s, Epoch, FragmentRow>,
    settings: &SampleSettings,
    ctx: &CutContext,
) -> Verdicts<'s> {
    let (per_lang, budgets) = (settings.per_lang, settings.budgets());
    let budget_of = move |lang: Lang| budgets.get(&lang).copied().or(per_lang);
    let bounded = budget_of.clone();
    let free = rows.clone().filter(move |row| bounded(row.lang).is_none());
    let bounded = budget_of.clone();
    let bounded = rows.filter(move |row| bounded(row.lang).is_some()).map(|row| CutIn::Row(0, row));
    let judged = cut(ctx, bounded, Arc::new(move |lang, _, _| vec![budget_of(lang).unwrap_or(0)]));
    Verdicts {
        kept: free.concat(judged.clone().filter(|(kept, _)| *kept).map(|(_, row)| row)),
        dropped: judged.filter(|(kept, _)| !*kept).map(|(_, row)| note(&row)),
    }
}

fn note(row: &FragmentRow) -> Note {
    Note {
        place: row.place,
        lang: row.lang,
        verdict: Verdict::dropped(Stage::Sample, Reason::OverBudget, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_langs_are_named() {
        let settings: SampleSettings =
            toml::from_str("per_lang = 10\nlangs = { por_Latn = 5 }").expect("known keys");
        assert!(settings.check("sample").is_ok());
        let settings: SampleSettings = toml::from_str("langs = { portuguese = 5 }").expect("known keys");
        let told = settings.check("sample").expect_err("no such lang").to_string();
        assert!(told.contains("key=sample.langs.portuguese"), "{told}");
    }
}
