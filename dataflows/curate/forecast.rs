//! How many rows will come to each role, by lang, and for how many it will be asked.
//!
//! **Why**: what a run asks follows from what is new, from what is made anew, and from what the journal answers. Shares that
//! stages let through are those of the state; where it has none, those of the sample.

use super::change::{Change, Restart};
use super::job::Job;
use super::plan::CHAIN;
use super::trial::{Sampled, Trial};
use crate::llm::Role;
use crate::model::{Lang, Stage};
use crate::telemetry::Tally;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a role and a lang.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Ahead {
    /// New to the role, about.
    pub(super) new: f64,
    /// Asked anew, at most.
    pub(super) again: f64,
    /// Of both, those that the journal does not answer, about.
    pub(super) open: f64,
    /// Of both, at most.
    pub(super) at_most: f64,
}

/// What is known of the rows before, and what is asked of them.
pub(super) struct Forecast<'a> {
    job: &'a Job,
    trial: &'a Trial,
    change: Option<&'a Change>,
    entered: BTreeMap<(Stage, Lang), f64>,
}

impl<'a> Forecast<'a> {
    pub(super) fn of(job: &'a Job, before: &Tally, trial: &'a Trial) -> Self {
        let lines = before.lines().into_iter();
        let entered = lines.map(|(at, line)| (at, line.entered.max(0) as f64)).collect();
        Self { job, trial, change: job.change(), entered }
    }

    /// Langs of which rows came, or may come.
    pub(super) fn langs(&self) -> BTreeSet<Lang> {
        self.entered.keys().map(|(_, lang)| *lang).chain(self.trial.langs()).collect()
    }

    /// Rows of a lang that came to a stage.
    fn came(&self, stage: Stage, lang: Lang) -> f64 {
        self.entered.get(&(stage, lang)).copied().unwrap_or(0.0)
    }

    /// Which share of the rows that came to one stage came to another; `None` where none came.
    fn share(&self, of: Stage, from: Stage, lang: Lang) -> Option<f64> {
        let all = |at: Stage| -> f64 {
            self.entered.iter().filter(|((stage, _), _)| *stage == at).map(|(_, rows)| rows).sum()
        };
        let (part, whole) = match self.came(from, lang) {
            0.0 => (all(of), all(from)),
            whole => (self.came(of, lang), whole),
        };
        (whole > 0.0).then(|| part / whole)
    }

    /// Which share of what translation meets comes to a role, before selection.
    fn comes(&self, role: Role, stage: Stage, lang: Lang) -> f64 {
        let stage = if role == Role::Localize { Stage::Threshold } else { stage };
        let sampled = || self.trial.new.get(&lang).map_or(1.0, |sampled| sampled.comes(role));
        self.share(stage, Stage::Translate, lang).unwrap_or_else(sampled)
    }

    /// Which share of what selection meets it chooses, about.
    fn chosen(&self, role: Role) -> f64 {
        let select = &self.job.settings.select;
        if role == Role::Localize { select.threshold.most() * select.quota.target_rate } else { 1.0 }
    }

    /// Rows of a lang that are new to translation: about, and at most.
    fn admitted(&self, lang: Lang) -> (f64, f64) {
        let survive = self.share(Stage::Sample, Stage::Dedup, lang).unwrap_or(1.0);
        let new = self.trial.fragments(lang) * survive;
        let Some(budget) = self.job.settings.sample.budget_of(lang) else { return (new, new) };
        let budget = budget as f64;
        // All of them are new where dedup starts anew.
        let restart = self.change.and_then(Change::restart);
        let before = if restart == Some(Restart::Dedup) { 0.0 } else { self.came(Stage::Sample, lang) };
        if new + before <= budget {
            return (new, new);
        }
        // The rows of least tick are a uniform sample of the old and the new.
        (budget * new / (new + before), budget.min(new))
    }

    /// Rows of a lang that a role met before and may be asked for anew: at most, and how many of them are asked, about.
    fn again(&self, role: Role, stage: Stage, lang: Lang) -> (f64, f64) {
        let Some((change, restart)) = self.change.map(|change| (change, change.restart())) else {
            return (0.0, 0.0);
        };
        let before = self.came(stage, lang);
        let open = self.trial.again.get(&lang).map_or(1.0, |sampled| sampled.open(role));
        let differs =
            CHAIN.into_iter().take_while(|(of, _)| *of <= role).any(|(of, _)| change.role_differs(of));
        let most = match restart {
            // Rows of all shards count as new.
            Some(Restart::Dedup) => return (0.0, 0.0),
            // What selection chooses is asked once it has chosen; all but what it had chosen before may be new.
            Some(_) if role == Role::Localize => {
                let met = self.came(Stage::Threshold, lang);
                let most = if differs { met } else { (met - before).max(0.0) };
                return (most, most.min(met * self.chosen(role) * open));
            }
            // A wider sample lets in rows that were left out: of these nothing is known.
            Some(Restart::Sample) => {
                let survived = self.came(Stage::Sample, lang);
                let budget = self.job.settings.sample.budget_of(lang);
                let let_in = budget.map_or(survived, |budget| survived.min(budget as f64));
                let newly = (let_in - self.came(Stage::Translate, lang)).max(0.0);
                let newly = newly * self.comes(role, stage, lang);
                let old = if differs { before } else { 0.0 };
                return (newly + old, newly + old * open);
            }
            _ if differs => before,
            _ => return (0.0, 0.0),
        };
        (most, most * open)
    }

    /// Rows of a role and a lang.
    pub(super) fn ahead(&self, role: Role, stage: Stage, lang: Lang) -> Ahead {
        let (about, most) = self.admitted(lang);
        let comes = self.comes(role, stage, lang);
        let new = about * comes * self.chosen(role);
        let open = self.trial.new.get(&lang).map_or(1.0, |sampled| self.open(sampled, role, lang));
        let (again, asked) = self.again(role, stage, lang);
        Ahead { new, again, open: new * open + asked, at_most: most * comes + again }
    }

    /// For which share of the new rows that come to a role it would be asked. Where dedup starts anew, rows that it dropped
    /// before are among the sample: nobody was asked for them, and nobody will be.
    fn open(&self, sampled: &Sampled, role: Role, lang: Lang) -> f64 {
        let open = sampled.open(role);
        if self.change.and_then(Change::restart) != Some(Restart::Dedup) {
            return open;
        }
        let dropped = 1.0 - self.share(Stage::Sample, Stage::Dedup, lang).unwrap_or(1.0);
        let dropped = dropped / sampled.comes(role);
        if dropped < 1.0 { ((open - dropped) / (1.0 - dropped)).max(0.0) } else { open }
    }

    /// Rows of all langs that came to a stage.
    pub(super) fn before(&self, stage: Stage) -> f64 {
        self.entered.iter().filter(|((at, _), _)| *at == stage).map(|(_, rows)| rows).sum()
    }
}
