//! What a run would do and ask, before it does: from the state, the journal and the footers of shards.
//!
//! **Why**: a changed setting may cost nothing or a thousand calls, and that is to be known before the first of them. What
//! is new is not read for it: its rows are estimated from those of the state, and said to be estimates.

use super::change::{Change, Restart};
use super::estimate::{ASSUMED_SECONDS, Estimate, Known, Rates, by_lang, known};
use super::job::Job;
use crate::error::Result;
use crate::llm::Role;
use crate::model::Stage;
use crate::sink::manifest::Delta;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

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
    /// Of these, rows that are asked anew, since a model, a prompt or a setting before their answer changed.
    pub rows_again: u64,
    /// Rows that are new to it; an estimate by the rows of the state, `None` where that has none.
    pub rows_new: Option<u64>,
    /// Answers that a row took so far, on average; 1 where nothing is known.
    pub calls_per_row: f64,
    /// Calls at most: the journal answers what was asked before in the same words.
    pub calls_at_most: Option<u64>,
    /// Tokens and money of that many calls, about; `None` where calls are not known.
    pub cost: Option<Estimate>,
    /// Whether tokens per call are the mean of the journal's answers, not assumed.
    pub measured: bool,
    /// Hours that the limits of its endpoints leave for it if nothing else is asked of them, about; `None` for embedded
    /// models and where calls are not known.
    pub hours: Option<f64>,
    /// The same by lang, shared as the rows of the state are.
    pub langs: BTreeMap<&'static str, Estimate>,
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
    /// What this run would do and ask.
    ///
    /// # Errors
    /// A journal that cannot be read.
    pub fn plan(&self) -> Result<Plan> {
        let change = self.change();
        let done = self.is_done();
        let (row_groups, rows) = match change {
            _ if done => (0, 0),
            Some(change) => (change.unread(), self.rows_to_read()),
            None => (self.surveys.iter().map(|survey| survey.row_groups.len()).sum(), self.rows()),
        };
        let starts_anew = change.and_then(Change::restart).filter(|_| !done).map(Restart::name);
        let roles = if done { Vec::new() } else { self.asked(rows)? };
        Ok(Plan { delta: self.delta(), done, starts_anew, row_groups, rows, roles })
    }

    fn asked(&self, new_rows: u64) -> Result<Vec<Asked>> {
        let answers = self.journal.as_deref().map(known).transpose()?.unwrap_or_default();
        let change = self.change();
        let before = change.map(|change| change.before.clone()).unwrap_or_default();
        let natural = |count: i64| u64::try_from(count).unwrap_or(0);
        let read = natural(before.entered(Stage::Read));
        let restart = change.and_then(Change::restart);
        let mut anew = false;
        let mut roles = Vec::new();
        for (role, stage) in CHAIN {
            anew |= change.is_some_and(|change| change.role_differs(role));
            let rows_before = natural(before.entered(stage));
            let rows_again = match (anew, role) {
                (true, _) => rows_before,
                // What selection chooses is asked once it has chosen; all but what it had chosen before may be new.
                (false, Role::Localize) if restart.is_some() => {
                    natural(before.entered(Stage::Threshold)).saturating_sub(rows_before)
                }
                // A wider sample lets in rows that were left out.
                (false, _) if restart.is_some_and(|restart| restart <= Restart::Sample) => {
                    natural(before.entered(Stage::Sample)).saturating_sub(rows_before)
                }
                (false, _) => 0,
            };
            let share = |rows: u64| {
                u64::try_from(u128::from(new_rows) * u128::from(rows) / u128::from(read.max(1))).ok()
            };
            let rows_new = if new_rows == 0 {
                Some(0)
            } else if read == 0 {
                None
            } else {
                share(rows_before)
            };
            let known: Known = answers.get(&role).copied().unwrap_or_default();
            let calls_per_row = if known.answers == 0 || rows_before == 0 {
                1.0
            } else {
                known.answers as f64 / rows_before as f64
            };
            let calls = |rows: u64| ceiling(rows as f64 * calls_per_row.max(1.0));
            let calls_at_most = rows_new.map(|new| calls(new + rows_again));
            let rates = Rates::of(&self.settings, role, known)?;
            roles.push(Asked {
                role: role.name(),
                rows_before,
                rows_again,
                rows_new,
                calls_per_row,
                calls_at_most,
                cost: calls_at_most.map(|calls| rates.estimate(calls)),
                measured: rates.measured(),
                hours: calls_at_most.and_then(|calls| rates.hours(calls)),
                langs: calls_at_most.map(|calls| by_lang(&before, role, calls, &rates)).unwrap_or_default(),
            });
        }
        Ok(roles)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, and an `as` cast saturates"
)]
fn ceiling(value: f64) -> u64 {
    value.ceil() as u64
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
        write!(
            f,
            "{:<10} {:>12} {:>12} {:>12} {:>10} {:>14} {:>14} {:>14} {:>12} {:>8}",
            "role",
            "rows before",
            "asked again",
            "new, about",
            "calls/row",
            "calls at most",
            "tokens in",
            "tokens out",
            "money",
            "hours"
        )?;
        for asked in &self.roles {
            let told = |count: Option<u64>| count.map_or("unknown".to_owned(), |count| count.to_string());
            write!(
                f,
                "\n{:<10} {:>12} {:>12} {:>12} {:>10.1} {:>14} {:>14} {:>14} {:>12} {:>8}",
                asked.role,
                asked.rows_before,
                asked.rows_again,
                told(asked.rows_new),
                asked.calls_per_row,
                told(asked.calls_at_most),
                told(asked.cost.map(|cost| cost.input_tokens)),
                told(asked.cost.map(|cost| cost.output_tokens)),
                asked.cost.map_or("unknown".to_owned(), |cost| cost.money.to_string()),
                asked.hours.map_or("-".to_owned(), |hours| format!("{hours:.2}"))
            )?;
            for (lang, cost) in &asked.langs {
                write!(
                    f,
                    "\n  {lang:<8} {:>53} {:>14} {:>14} {:>14} {:>12}",
                    "", cost.calls, cost.input_tokens, cost.output_tokens, cost.money
                )?;
            }
        }
        let assumed: Vec<&str> =
            self.roles.iter().filter(|asked| !asked.measured).map(|asked| asked.role).collect();
        if !assumed.is_empty() {
            write!(
                f,
                "\nassumed, as the journal has no answers yet: tokens per call of {}",
                assumed.join(", ")
            )?;
        }
        write!(
            f,
            "\nan estimate: calls are an upper bound, tokens per call are means; hours are of each role alone, by the limits of \
             its endpoints and {ASSUMED_SECONDS} s a request"
        )
    }
}
