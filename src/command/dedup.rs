//! `isogloss dedup`: shards to the list of rows to keep.

use super::{interrupt, terminal};
use crate::cli;
use crate::dedup::{self, Job, Outcome, Settings};
use crate::error::Result;
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use crate::telemetry::progress::{Screen, report};
use std::sync::Arc;

/// Finds duplicates as the flags say.
///
/// # Errors
/// What ends a run; see [`ErrorKind`](crate::ErrorKind).
pub fn dedup(flags: &cli::Dedup) -> Result<()> {
    let (runtime, stop) = (super::run::runtime()?, Stop::default());
    interrupt::watch(runtime.handle(), stop.clone());
    let job = Arc::new(dedup::prepare(settings_of(flags)?)?);
    let outcome = watched(&job, &stop);
    runtime.shutdown_background();
    let outcome = outcome?;
    tell(&job, &outcome);
    if flags.json {
        terminal::say(outcome.json()?);
    }
    Ok(())
}

/// The settings of the flags: `--set`, then the flags that have a name.
///
/// # Errors
/// As [`Settings::parse`].
pub fn settings_of(flags: &cli::Dedup) -> Result<Settings> {
    let mut settings = Settings::parse(&flags.set)?;
    settings.input.clone_from(&flags.input);
    settings.output.clone_from(&flags.output);
    settings.rows |= flags.rows;
    settings.workers = flags.workers.unwrap_or(settings.workers);
    let columns = &mut settings.source.columns;
    columns.text = flags.text.clone().or(columns.text.take());
    columns.id = flags.id.clone().or(columns.id.take());
    Ok(settings)
}

fn watched(job: &Arc<Job>, stop: &Stop) -> Result<Outcome> {
    if job.is_done() {
        return dedup::execute(job, stop);
    }
    tracing::info!("{}", job.delta());
    let watch = Stopwatch::start();
    let screen = if terminal::watched() { Screen::Bar } else { Screen::Lines(Box::new(std::io::stderr())) };
    let reporter = report(Arc::clone(job.progress()), move || watch.millis(), screen)?;
    let outcome = dedup::execute(job, stop);
    drop(reporter);
    outcome
}

fn tell(job: &Job, outcome: &Outcome) {
    if !outcome.ran {
        tracing::info!("nothing to do: shards and settings are those of the lists");
    }
    terminal::say(&outcome.list.counts);
    let output = &job.settings().output;
    for file in outcome.list.files.iter().filter(|file| file.folder.is_empty()) {
        tracing::info!("{}: {} rows", output.join(&file.name).display(), file.rows);
    }
    tracing::info!("digest of the lists: {:032x}", outcome.list.digest);
}
