//! `isogloss check`: settings, inputs, models and keys, without asking any model.

use super::{run, terminal};
use crate::cli;
use crate::curate;
use crate::error::Result;
use crate::llm::Role;
use crate::stop::Stop;

/// Prepares a run as `run` would, says what it would work on, and stops.
///
/// # Errors
/// Whatever would end the run before its first row.
pub fn check(flags: &cli::Run) -> Result<()> {
    let settings = run::settings_of(flags)?;
    let job = curate::prepare(settings, curate::Given::default(), &Stop::default())?;
    terminal::say(job.delta());
    terminal::say(format_args!("rows: {}, text: {:.1} MB", job.rows(), job.text_bytes() as f64 / 1e6));
    for role in Role::ALL {
        let names: Vec<&str> = job.settings().endpoints_of(role)?.into_keys().collect();
        let names = names.join(", ");
        terminal::say(format_args!("{:<10} {names}: {}", role.name(), job.version_of(role)));
    }
    terminal::say(if job.is_done() {
        "nothing to do: the snapshot is what a run would make"
    } else {
        "ready: nothing was asked and nothing was paid"
    });
    Ok(())
}
