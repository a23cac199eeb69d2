//! What a run would do and ask, before it does: from the state, the journal, the footers of shards, and a sample.
//!
//! **Why**: a changed setting may cost nothing or a thousand calls, and a new corpus has a price. Both are to be known before
//! the first call. All of it is an estimate; what it stands on is told.

use super::change::{Change, Restart};
use super::estimate::{ASSUMED_SECONDS, Estimate, PerCall, Rates, Source, ceiling, known};
use super::forecast::Forecast;
use super::job::Job;
use super::trial::trial;
use crate::error::Result;
use crate::llm::Role;
use crate::llm::money::Money;
use crate::model::Stage;
use crate::sink::manifest::Delta;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Shards, by key.
    #[serde(flatten)]
    pub delta: Delta,
    /// Whether the snapshot is what the run would make.
    pub done: bool,
    /// The first stage that starts anew from the table of the stage before.
    pub starts_anew: Option<&'static str>,
    /// Row groups that are still to be read.
    pub row_groups: usize,
    /// Their rows.
    pub rows: u64,
    /// By role, in the order of the chain.
    pub roles: Vec<Asked>,
}

/// What a role would be asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// The role.
    pub role: &'static str,
    /// Rows that came to it in the state.
    pub rows_before: u64,
    /// Of these, rows that may be asked anew, since a model, a prompt or a setting before their answer changed; at most.
    pub rows_again: u64,
    /// Rows that are new to it, about.
    pub rows_new: u64,
    /// Answers that a row took so far, on average; 1 where nothing is known.
    pub calls_per_row: f64,
    /// Calls of rows that the journal does not answer, as a sample tells; about.
    pub calls: u64,
    /// Calls if the journal answered none of them and selection chose all; about.
    pub calls_at_most: u64,
    /// Tokens and money of `calls`.
    pub cost: Estimate,
    /// Money of `calls_at_most`.
    pub money_at_most: Money,
    /// Where the tokens that a call reads are known from: the least certain of the langs.
    pub input_by: Source,
    /// Where the tokens that it writes are known from.
    pub output_by: Source,
    /// Hours that the limits of its endpoints leave for `calls` if nothing else is asked of them, about; `None` for
    /// embedded models and batches.
    pub hours: Option<f64>,
    /// The same by lang, of langs that have calls.
    pub langs: BTreeMap<&'static str, AskedFor>,
}

/// What a role would be asked for a lang.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskedFor {
    /// Calls, tokens and money.
    #[serde(flatten)]
    pub cost: Estimate,
    /// Hours, as if the endpoints had nothing else to do.
    pub hours: Option<f64>,
}

/// The roles with their stages, in the order of the chain.
pub(super) const CHAIN: [(Role, Stage); 5] = [
    (Role::Translate, Stage::Translate),
    (Role::Instruct, Stage::Instruct),
    (Role::Score, Stage::Score),
    (Role::Embed, Stage::Embed),
    (Role::Localize, Stage::Localize),
];

impl Job {
    /// What this run would do and ask. Reads a sample of what is new and looks it up in the journal; asks nobody.
    ///
    /// # Errors
    /// A shard or a journal that cannot be read.
    pub fn plan(self: &Arc<Self>) -> Result<Plan> {
        let change = self.change();
        let done = self.is_done();
        let (row_groups, rows) = match change {
            _ if done => (0, 0),
            Some(change) => (change.unread(), self.rows_to_read()),
            None => (self.surveys.iter().map(|survey| survey.row_groups.len()).sum(), self.rows()),
        };
        let starts_anew = change.and_then(Change::restart).filter(|_| !done).map(Restart::name);
        let roles = if done { Vec::new() } else { self.asked()? };
        Ok(Plan { delta: self.delta(), done, starts_anew, row_groups, rows, roles })
    }

    fn asked(self: &Arc<Self>) -> Result<Vec<Asked>> {
        let answers = known(&self.asking()?.journal)?;
        let change = self.change();
        let before = change.map(|change| change.before.clone()).unwrap_or_default();
        let again = change.is_some_and(|change| {
            change.restart().is_some() || CHAIN.into_iter().any(|(role, _)| change.role_differs(role))
        });
        let trial = trial(self, again)?;
        let forecast = Forecast::of(self, &before, &trial);
        let langs = forecast.langs();
        let of = |(role, stage): (Role, Stage)| {
            let known = answers.get(&role).copied().unwrap_or_default();
            let rows_before = forecast.before(stage);
            let per_row = if rows_before > 0.0 { known.answers as f64 / rows_before } else { 1.0 };
            let calls_per_row = if known.answers == 0 { 1.0 } else { per_row };
            let calls = |rows: f64| ceiling(rows * calls_per_row.max(1.0));
            let rates = Rates::of(&self.settings, role)?;
            let mut asked = Asked::none(role, ceiling(rows_before), calls_per_row);
            let (mut new, mut anew) = (0.0, 0.0);
            for lang in &langs {
                let ahead = forecast.ahead(role, stage, *lang);
                (new, anew) = (new + ahead.new, anew + ahead.again);
                let (about, at_most) = (calls(ahead.open), calls(ahead.at_most));
                if at_most == 0 {
                    continue;
                }
                let one = PerCall::of(role, *lang, known, &trial);
                let cost = rates.estimate(about, one);
                asked.cost += cost;
                asked.calls_at_most += at_most;
                asked.money_at_most += rates.estimate(at_most, one).money;
                asked.input_by = asked.input_by.max(one.input_by);
                asked.output_by = asked.output_by.max(one.output_by);
                if about > 0 {
                    asked.langs.insert(lang.tag(), AskedFor { cost, hours: rates.hours(cost) });
                }
            }
            (asked.rows_new, asked.rows_again) = (ceiling(new), ceiling(anew));
            asked.calls = asked.cost.calls;
            asked.hours = rates.hours(asked.cost);
            Ok(asked)
        };
        CHAIN.into_iter().map(of).collect()
    }
}

impl Asked {
    fn none(role: Role, rows_before: u64, calls_per_row: f64) -> Self {
        Self {
            role: role.name(),
            rows_before,
            rows_again: 0,
            rows_new: 0,
            calls_per_row,
            calls: 0,
            calls_at_most: 0,
            cost: Estimate::default(),
            money_at_most: Money::ZERO,
            input_by: Source::Sample,
            output_by: Source::Sample,
            hours: None,
            langs: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.delta)?;
        let Delta { added, replaced, removed, .. } = &self.delta;
        for (sign, keys) in [("+", added), ("~", replaced), ("-", removed)] {
            for key in keys {
                writeln!(f, "  {sign} {}", crate::telemetry::plain::plain(key))?;
            }
        }
        if self.done {
            return write!(f, "nothing to do: the snapshot is what a run would make");
        }
        writeln!(f, "to read: {} row groups, {} rows", self.row_groups, self.rows)?;
        match self.starts_anew {
            Some(stage) => writeln!(
                f,
                "starts anew from {stage} on: settings, models or prompts of it changed, or there is no state"
            )?,
            None => writeln!(f, "every stage takes the difference alone")?,
        }
        let heads =
            ["rows before", "asked again", "new", "calls", "at most", "tokens in", "tokens out", "money"];
        write!(f, "{:<10}", "role")?;
        heads.into_iter().try_for_each(|head| write!(f, " {head:>12}"))?;
        write!(f, " {:>13} {:>8}", "money at most", "hours")?;
        let (mut money, mut at_most) = (Money::ZERO, Money::ZERO);
        let told = |hours: Option<f64>| hours.map_or("-".to_owned(), |hours| format!("{hours:.2}"));
        for asked in &self.roles {
            money += asked.cost.money;
            at_most += asked.money_at_most;
            let Estimate { calls, input_tokens, output_tokens, money } = asked.cost;
            write!(
                f,
                "\n{:<10} {:>12} {:>12} {:>12} {calls:>12} {:>12} {input_tokens:>12} {output_tokens:>12} {:>12} \
                 {:>13} {:>8}",
                asked.role,
                asked.rows_before,
                asked.rows_again,
                asked.rows_new,
                asked.calls_at_most,
                money.to_string(),
                asked.money_at_most.to_string(),
                told(asked.hours)
            )?;
            for (lang, AskedFor { cost, hours }) in &asked.langs {
                let Estimate { calls, input_tokens, output_tokens, money } = cost;
                write!(
                    f,
                    "\n  {lang:<8} {:>38} {calls:>12} {:>12} {input_tokens:>12} {output_tokens:>12} {:>12} {:>13} {:>8}",
                    "",
                    "",
                    money.to_string(),
                    "",
                    told(*hours)
                )?;
            }
        }
        write!(f, "\n{:<10} {:>103} {:>13}", "all", money.to_string(), at_most.to_string())?;
        for (source, said) in [
            (Source::Journal, "means of the journal's answers"),
            (Source::Length, "from the length of a sample"),
            (Source::Assumed, "assumed"),
        ] {
            let of = |what: &'static str, by: fn(&Asked) -> Source| {
                let roles =
                    self.roles.iter().filter(move |asked| asked.calls_at_most > 0 && by(asked) == source);
                roles.map(move |asked| format!("{} {what}", asked.role))
            };
            let found: Vec<String> =
                of("in", |asked| asked.input_by).chain(of("out", |asked| asked.output_by)).collect();
            if !found.is_empty() {
                write!(f, "\ntokens per call, {said}: {}", found.join(", "))?;
            }
        }
        write!(
            f,
            "\nan estimate from a sample: at most is what an empty journal would cost; hours are of each role alone, by the \
             limits of its endpoints and {ASSUMED_SECONDS} s a request"
        )
    }
}
