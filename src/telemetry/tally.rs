//! How many rows and fragments ended where, and the proof that none was lost.
//!
//! **Why**: failures are data. A fragment that ends at a stage was kept by every stage before it, so one count per
//! end tells every stage's in, kept, dropped and faulted. What stages say they were handed is counted apart, and
//! [`Tally::conserved`] compares the two.

use crate::error::{Error, Result};
use crate::model::{Lang, Note, Reason, Ruling, Stage};
use crate::sink::manifest::{Count, reason_of, ruling_of, stage_of};
use crate::state::manifest::TallyLine;
use crate::telemetry::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of ends, and of what stages were handed. Sums of workers add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    ends: BTreeMap<(Stage, Lang, Ruling, Reason), i64>,
    handed: BTreeMap<(Stage, Lang), i64>,
}

/// One stage and lang. Rows until [`Stage::Fragment`], fragments from [`Stage::Identify`] on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// What came in.
    pub entered: i64,
    /// What went on, or into the output.
    pub kept: i64,
    /// What was judged and left out, by reason.
    pub dropped: BTreeMap<Reason, i64>,
    /// What could not be judged, by reason.
    pub faulted: BTreeMap<Reason, i64>,
}

impl Line {
    /// Sum of the dropped.
    pub fn dropped_sum(&self) -> i64 {
        self.dropped.values().sum()
    }

    /// Sum of the faulted.
    pub fn faulted_sum(&self) -> i64 {
        self.faulted.values().sum()
    }
}

/// Whether a stage counts rows of shards; the others count fragments.
fn counts_rows(stage: Stage) -> bool {
    stage <= Stage::Fragment
}

impl Tally {
    /// The tally of a manifest.
    pub fn of_counts(counts: &[Count]) -> Self {
        let mut tally = Self::default();
        for count in counts {
            let end = (stage_of(&count.stage), ruling_of(&count.ruling), reason_of(&count.reason));
            let lang = Lang::from_tag(&count.lang).unwrap_or(Lang::UND);
            if let (Some(stage), Some(ruling), Some(reason)) = end {
                bump(&mut tally.ends, (stage, lang, ruling, reason), count.count);
            }
        }
        tally
    }

    /// One end, or one less.
    pub fn add(&mut self, note: &Note, diff: isize) {
        let verdict = note.verdict;
        let key = (verdict.stage, note.lang, verdict.ruling, verdict.reason);
        bump(&mut self.ends, key, diff as i64);
    }

    /// `count` rows (or fragments, from [`Stage::Identify`] on) were handed to a stage; may be negative. A stage that
    /// calls this is checked by [`conserved`](Self::conserved).
    pub fn hand(&mut self, stage: Stage, lang: Lang, count: i64) {
        bump(&mut self.handed, (stage, lang), count);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in &other.ends {
            bump(&mut self.ends, *key, *count);
        }
        for (key, count) in &other.handed {
            bump(&mut self.handed, *key, *count);
        }
    }

    /// Rows of the output, by lang.
    pub fn published(&self) -> BTreeMap<Lang, i64> {
        let mut rows = BTreeMap::new();
        for ((_, lang, ruling, _), count) in &self.ends {
            if *ruling == Ruling::Kept {
                bump(&mut rows, *lang, *count);
            }
        }
        rows
    }

    /// One line per stage and lang that saw something, in order of stage, then lang.
    pub fn lines(&self) -> BTreeMap<(Stage, Lang), Line> {
        let mut lines: BTreeMap<(Stage, Lang), Line> = BTreeMap::new();
        for ((end, lang, ruling, reason), count) in &self.ends {
            let line = lines.entry((*end, *lang)).or_default();
            match ruling {
                Ruling::Kept => {}
                Ruling::Dropped => *line.dropped.entry(*reason).or_default() += count,
                Ruling::Faulted => *line.faulted.entry(*reason).or_default() += count,
            }
            let same_unit = |stage: &Stage| counts_rows(*stage) == counts_rows(*end);
            for stage in Stage::ALL.into_iter().filter(|stage| stage <= end).filter(same_unit) {
                let line = lines.entry((stage, *lang)).or_default();
                line.entered += count;
                if stage < *end || *ruling == Ruling::Kept {
                    line.kept += count;
                }
            }
        }
        // Rows that became fragments end nowhere: only what reading was handed tells of them.
        for ((_, lang), count) in self.handed.iter().filter(|((stage, _), _)| *stage == Stage::Read) {
            let ended = lines.get(&(Stage::Read, *lang)).map_or(0, |line| line.entered);
            for stage in [Stage::Read, Stage::Fragment] {
                let line = lines.entry((stage, *lang)).or_default();
                line.entered += count - ended;
                line.kept += count - ended;
            }
        }
        lines.retain(|_, line| *line != Line::default());
        lines
    }

    /// What came into a stage, over all langs.
    pub fn entered(&self, stage: Stage) -> i64 {
        self.lines().iter().filter(|((at, _), _)| *at == stage).map(|(_, line)| line.entered).sum()
    }

    /// Checks that nothing was lost or doubled: no count is negative, a row is kept only at the last stage, every
    /// line adds up, and what each stage was handed is what ended there or later. At [`Stage::Identify`] and before a
    /// fragment may still change its lang, so there only the sums over langs are compared.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) that names the stage and the lang.
    pub fn conserved(&self) -> Result<()> {
        for ((stage, lang, ruling, reason), count) in &self.ends {
            if *count < 0 || (*ruling == Ruling::Kept && *stage != Stage::Localize) {
                return Err(Error::bug(format!(
                    "no such end: stage={}, lang={lang}, ruling={}, reason={}, count={count}",
                    stage.name(),
                    ruling.name(),
                    reason.name()
                )));
            }
        }
        let lines = self.lines();
        for ((stage, lang), line) in &lines {
            let out = line.kept + line.dropped_sum() + line.faulted_sum();
            if line.entered != out || line.kept < 0 {
                return Err(lost(*stage, lang.tag(), line.entered, out));
            }
        }
        for stage in Stage::ALL {
            let handed = self.handed.iter().filter(|((at, _), _)| *at == stage);
            let handed: BTreeMap<Lang, i64> = handed.map(|((_, lang), count)| (*lang, *count)).collect();
            if handed.is_empty() {
                continue;
            }
            let told = lines.iter().filter(|((at, _), _)| *at == stage);
            let told: BTreeMap<Lang, i64> = told.map(|((_, lang), line)| (*lang, line.entered)).collect();
            let (all_handed, all_told) = (handed.values().sum(), told.values().sum());
            if all_handed != all_told {
                return Err(lost(stage, "all", all_handed, all_told));
            }
            if stage > Stage::Identify {
                for lang in handed.keys().chain(told.keys()) {
                    let of = |counts: &BTreeMap<Lang, i64>| counts.get(lang).copied().unwrap_or(0);
                    if of(&handed) != of(&told) {
                        return Err(lost(stage, lang.tag(), of(&handed), of(&told)));
                    }
                }
            }
        }
        Ok(())
    }

    /// As the state keeps them: ends, and what stages were handed.
    pub(crate) fn state_lines(&self) -> Vec<TallyLine> {
        let line = |stage: Stage, lang: Lang, ruling: &str, reason: &str, count: i64| TallyLine {
            stage: stage.name().to_owned(),
            lang: lang.tag().to_owned(),
            ruling: ruling.to_owned(),
            reason: reason.to_owned(),
            count,
        };
        let ends = self.ends.iter().map(|((stage, lang, ruling, reason), count)| {
            line(*stage, *lang, ruling.name(), reason.name(), *count)
        });
        let handed = self.handed.iter().map(|((stage, lang), count)| line(*stage, *lang, "", "", *count));
        ends.chain(handed).collect()
    }

    /// The tally of a state.
    pub(crate) fn of_lines(lines: &[TallyLine]) -> Self {
        let mut tally = Self::default();
        for line in lines {
            let lang = Lang::from_tag(&line.lang).unwrap_or(Lang::UND);
            match (stage_of(&line.stage), ruling_of(&line.ruling), reason_of(&line.reason)) {
                (Some(stage), Some(ruling), Some(reason)) => {
                    bump(&mut tally.ends, (stage, lang, ruling, reason), line.count);
                }
                (Some(stage), None, _) => tally.hand(stage, lang, line.count),
                _ => {}
            }
        }
        tally
    }

    /// Forgets what ended, and what was handed, at `stage` and after it: they start anew.
    pub(crate) fn forget_from(&mut self, first: Stage) {
        self.ends.retain(|(stage, ..), _| *stage < first);
        self.handed.retain(|(stage, _), _| *stage < first);
    }

    /// As the manifest keeps them.
    pub fn counts(&self) -> Vec<Count> {
        let count = |((stage, lang, ruling, reason), count): (&(Stage, Lang, Ruling, Reason), &i64)| Count {
            stage: stage.name().to_owned(),
            lang: plain(lang.tag()).into_owned(),
            ruling: ruling.name().to_owned(),
            reason: reason.name().to_owned(),
            count: *count,
        };
        self.ends.iter().map(count).collect()
    }
}

fn lost(stage: Stage, lang: &str, entered: i64, told: i64) -> Error {
    Error::bug(format!("rows not conserved: stage={}, lang={lang}, in={entered}, out={told}", stage.name()))
}

fn bump<K: Ord>(counts: &mut BTreeMap<K, i64>, key: K, diff: i64) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Occupied(entry) if entry.get() + diff == 0 => {
            entry.remove();
        }
        Entry::Occupied(mut entry) => *entry.get_mut() += diff,
        Entry::Vacant(entry) if diff != 0 => {
            entry.insert(diff);
        }
        Entry::Vacant(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Place, Verdict};

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    fn note(tag: &str, verdict: Verdict) -> Note {
        Note { place: Place::default(), lang: lang(tag), verdict }
    }

    fn some() -> Tally {
        let mut tally = Tally::default();
        tally.hand(Stage::Read, Lang::UND, 10);
        tally.add(&note("por_Latn", Verdict::faulted(Stage::Read, Reason::NullText, 0.0)), 0);
        tally.add(
            &Note {
                lang: Lang::UND,
                ..note("por_Latn", Verdict::faulted(Stage::Read, Reason::NullText, 0.0))
            },
            1,
        );
        tally.add(
            &Note {
                lang: Lang::UND,
                ..note("por_Latn", Verdict::dropped(Stage::Fragment, Reason::NoFragment, 0.0))
            },
            2,
        );
        tally.hand(Stage::Identify, Lang::UND, 9);
        tally.add(&note("spa_Latn", Verdict::dropped(Stage::Identify, Reason::OtherLang, 0.0)), 2);
        tally.hand(Stage::Dedup, lang("por_Latn"), 7);
        tally.add(&note("por_Latn", Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.0)), 3);
        tally.add(&note("por_Latn", Verdict::faulted(Stage::Translate, Reason::GaveUp, 0.0)), 1);
        tally.add(&note("por_Latn", Verdict::kept(Stage::Localize, 1.0)), 3);
        tally
    }

    #[test]
    fn every_stage_is_told_by_the_ends() {
        let tally = some();
        tally.conserved().expect("nothing lost");
        let lines = tally.lines();
        let at = |stage, tag: &str| lines[&(stage, lang(tag))].clone();
        let read = &lines[&(Stage::Read, Lang::UND)];
        assert_eq!((read.entered, read.kept, read.faulted_sum()), (10, 9, 1));
        let fragment = &lines[&(Stage::Fragment, Lang::UND)];
        assert_eq!((fragment.entered, fragment.kept, fragment.dropped_sum()), (9, 7, 2));
        let dedup = at(Stage::Dedup, "por_Latn");
        assert_eq!((dedup.entered, dedup.kept, dedup.dropped_sum()), (7, 4, 3));
        let translate = at(Stage::Translate, "por_Latn");
        assert_eq!((translate.entered, translate.kept, translate.faulted_sum()), (4, 3, 1));
        let localize = at(Stage::Localize, "por_Latn");
        assert_eq!((localize.entered, localize.kept), (3, 3));
        assert_eq!(tally.published()[&lang("por_Latn")], 3);
    }

    #[test]
    fn a_lost_and_a_doubled_fragment_are_noticed() {
        let mut lost = some();
        lost.add(&note("por_Latn", Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.0)), -1);
        let told = lost.conserved().expect_err("one is missing").to_string();
        assert!(told.contains("stage=identify"), "{told}");
        // The sum over langs fits, but a lang does not.
        lost.add(&note("spa_Latn", Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.0)), 1);
        let told = lost.conserved().expect_err("one changed its lang").to_string();
        assert!(told.contains("stage=dedup"), "{told}");
        let mut early = some();
        early.add(&note("por_Latn", Verdict::kept(Stage::Quota, 0.0)), 1);
        assert!(early.conserved().is_err());
        let mut negative = Tally::default();
        negative.add(&note("por_Latn", Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.0)), -1);
        assert!(negative.conserved().is_err());
    }

    #[test]
    fn workers_add_up_and_withdrawals_leave_nothing() {
        let mut twice = some();
        twice.merge(&some());
        twice.conserved().expect("nothing lost");
        assert_eq!(twice.published()[&lang("por_Latn")], 6);
        let mut none = Tally::default();
        let one = note("por_Latn", Verdict::kept(Stage::Localize, 1.0));
        none.add(&one, 1);
        none.add(&one, -1);
        assert_eq!(none, Tally::default());
    }
}
