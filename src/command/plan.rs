//! `isogloss plan`: what a run would do and ask, and nothing else.

use super::{run, terminal};
use crate::cli;
use crate::curate;
use crate::error::{Error, Result};
use crate::stop::Stop;
use std::sync::Arc;

/// Prepares a run as `run` would, tells what it would do, and stops.
///
/// # Errors
/// Whatever would end the run before its first row.
pub fn plan(flags: &cli::Run) -> Result<()> {
    let settings = run::settings_of(flags)?;
    let job = Arc::new(curate::prepare(settings, curate::Given::default(), &Stop::default())?);
    let plan = job.plan()?;
    if flags.json {
        let text =
            serde_json::to_string(&plan).map_err(|cause| Error::bug("plan not encoded").because(cause))?;
        terminal::say(text);
    } else {
        terminal::say(plan);
    }
    Ok(())
}
