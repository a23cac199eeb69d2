//! `isogloss journal`: shows, exports, imports and prunes the answers that were paid for.

use super::terminal;
use crate::cli;
use crate::error::{Error, Result};
use crate::llm::Role;
use crate::llm::journal::parquet::{Moved, export, import};
use crate::llm::journal::upkeep::Wanted;
use crate::llm::journal::{FILE, Journal};
use crate::sink::snapshot::STATE;
use crate::telemetry::plain::plain;
use crate::telemetry::{Clock, SystemClock};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;

/// Does what the flags say.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no journal or a flag is wrong; a journal or file that is
/// in use, damaged or cannot be written.
pub fn journal(flags: &cli::Journal) -> Result<()> {
    match flags {
        cli::Journal::Show { output } => show(&opened(output)?),
        cli::Journal::Export { output, file } => {
            let Moved { answers, left, .. } = export(&opened(output)?, file)?;
            terminal::say(format_args!(
                "exported: answers={answers}, unreadable={left}, path={}",
                file.display()
            ));
            Ok(())
        }
        cli::Journal::Import { output, file } => {
            let state = output.join(STATE);
            std::fs::create_dir_all(&state).map_err(|cause| {
                Error::unavailable(format!("folder not made: path={}", state.display())).because(cause)
            })?;
            let journal = Journal::open(&state.join(FILE), Arc::new(SystemClock))?;
            let Moved { answers, left, same_secret } = import(&journal, file)?;
            terminal::say(format_args!("imported: answers={answers}, there before={left}"));
            if !same_secret {
                tracing::warn!(
                    "the two journals fence prompts by different secrets: translations and embeddings will be found, chat \
                     answers will not; remedy=import into an output without answers"
                );
            }
            Ok(())
        }
        cli::Journal::Prune(flags) => prune(flags),
    }
}

/// The journal of an output that has one.
fn opened(output: &Path) -> Result<Journal> {
    let path = output.join(STATE).join(FILE);
    if !path.is_file() {
        return Err(Error::config(format!(
            "output has no journal: path={}, remedy=give the folder that a run wrote to",
            output.display()
        )));
    }
    Journal::open(&path, Arc::new(SystemClock))
}

/// What one model answered for one role.
#[derive(Default)]
struct Sum {
    answers: u64,
    input_tokens: u64,
    output_tokens: u64,
    first_unix_ms: Option<u64>,
    last_unix_ms: u64,
}

fn show(journal: &Journal) -> Result<()> {
    let mut sums: BTreeMap<(&'static str, String), Sum> = BTreeMap::new();
    let mut unreadable = 0_u64;
    journal.each(|_, entry| {
        let Some(entry) = entry else {
            unreadable += 1;
            return Ok(());
        };
        let sum = sums.entry((entry.role.name(), entry.identity)).or_default();
        sum.answers += 1;
        sum.input_tokens += entry.reply.usage.input_tokens;
        sum.output_tokens += entry.reply.usage.output_tokens;
        sum.first_unix_ms = Some(sum.first_unix_ms.map_or(entry.unix_ms, |first| first.min(entry.unix_ms)));
        sum.last_unix_ms = sum.last_unix_ms.max(entry.unix_ms);
        Ok(())
    })?;
    let now = SystemClock.unix_ms();
    let days = |unix_ms: u64| now.saturating_sub(unix_ms) / DAY_MS;
    terminal::say(format_args!(
        "{:<10} {:>10} {:>14} {:>14} {:>11} {:>11}  model",
        "role", "answers", "input tokens", "output tokens", "oldest", "newest"
    ));
    for ((role, model), sum) in &sums {
        terminal::say(format_args!(
            "{role:<10} {:>10} {:>14} {:>14} {:>6} days {:>6} days  {}",
            sum.answers,
            sum.input_tokens,
            sum.output_tokens,
            days(sum.first_unix_ms.unwrap_or(now)),
            days(sum.last_unix_ms),
            plain(model)
        ));
    }
    let answers: u64 = sums.values().map(|sum| sum.answers).sum();
    terminal::say(format_args!("answers={answers}, unreadable={unreadable}"));
    Ok(())
}

fn prune(flags: &cli::Prune) -> Result<()> {
    let cli::Prune { output, older_than_days, model, role, dry_run } = flags;
    let role = role.as_deref().map(role_of).transpose()?;
    let before_unix_ms =
        older_than_days.map(|days| SystemClock.unix_ms().saturating_sub(days.saturating_mul(DAY_MS)));
    let wanted = Wanted { role, model: model.clone(), before_unix_ms };
    if wanted == Wanted::default() {
        return Err(Error::config(
            "nothing says which answers to prune: remedy=give --older-than-days, --model or --role",
        ));
    }
    let journal = opened(output)?;
    if *dry_run {
        let count = journal.keys_of(&wanted)?.len();
        terminal::say(format_args!("would prune: answers={count}, of={}", journal.len()?));
    } else {
        let pruned = journal.prune(&wanted)?;
        terminal::say(format_args!("pruned: answers={pruned}, left={}", journal.len()?));
    }
    Ok(())
}

fn role_of(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| {
        let range = Role::ALL.map(Role::name).join(", ");
        Error::config(format!(
            "role unknown: key=--role, value={:?}, range={range}, remedy=one of these",
            plain(name)
        ))
    })
}
