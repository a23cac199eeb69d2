//! `isogloss run`: a settings file to a snapshot, with progress and a final table.

use super::crew::Crew;
use super::{interrupt, terminal};
use crate::cli;
use crate::config::Settings;
use crate::curate::{self, Job, Outcome};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::telemetry::progress::{Screen, report};
use crate::telemetry::table::{self, Style};
use crate::telemetry::{Costs, Stopwatch};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Runs the chain as a settings file says.
///
/// # Errors
/// What ends a run; see [`ErrorKind`](crate::ErrorKind).
pub fn run(flags: &cli::RunAs) -> Result<()> {
    let crew = Crew { processes: flags.processes, listen: flags.listen.clone() };
    crew.check()?;
    let outcome = carry_out(settings_of(&flags.run)?, &crew)?;
    if flags.run.json {
        terminal::say_json(&outcome.json()?);
    }
    Ok(())
}

/// The settings of the flags: the file, `--set` on top, then the flags that have a name.
///
/// # Errors
/// As [`Settings::load`].
pub fn settings_of(flags: &cli::Run) -> Result<Settings> {
    let mut settings = Settings::load(&flags.settings, &flags.set)?;
    if !flags.input.is_empty() {
        settings.input.clone_from(&flags.input);
    }
    if let Some(output) = &flags.output {
        settings.output.clone_from(output);
    }
    settings.workers = flags.workers.unwrap_or(settings.workers);
    settings.budget.money = flags.budget.or(settings.budget.money);
    Ok(settings)
}

/// A runtime for everything that waits.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the machine gives no threads.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("isogloss-io")
        .build()
        .map_err(|cause| Error::unavailable("threads not started").because(cause))
}

/// Prepares and carries out a run, and tells the person what happens.
///
/// # Errors
/// As [`curate::prepare`] and [`curate::execute`].
pub fn carry_out(settings: Settings, crew: &Crew) -> Result<Outcome> {
    curate::sharable(&settings, crew.processes)?;
    let (runtime, stop) = (runtime()?, Stop::default());
    interrupt::watch(runtime.handle(), stop.clone());
    let job = Arc::new(curate::prepare(settings, curate::Given::default(), &stop)?);
    let outcome = watched(&job, crew, &runtime, &stop);
    // A reply that never comes must not keep the process.
    runtime.shutdown_background();
    if outcome.is_err() {
        told_bill(&job.costs());
    }
    let outcome = outcome?;
    tell(&job, &outcome);
    Ok(outcome)
}

fn watched(job: &Arc<Job>, crew: &Crew, runtime: &Runtime, stop: &Stop) -> Result<Outcome> {
    if job.is_done() {
        return curate::execute(job, runtime.handle(), stop);
    }
    told(job);
    let watch = Stopwatch::start();
    let now_ms = move || watch.millis();
    let screen = if terminal::watched() { Screen::Bar } else { Screen::Lines(Box::new(std::io::stderr())) };
    let reporter = report(Arc::clone(job.progress()), now_ms, screen)?;
    let crew = crew.muster()?;
    let (lead, started) = crew.map_or((None, None), |(lead, started)| (Some(lead), started));
    let outcome = curate::lead(job, lead, runtime.handle(), stop);
    drop((reporter, started));
    outcome
}

/// What was paid, a line per role and endpoint.
fn told_bill(costs: &Costs) {
    for line in costs.bill_text().lines() {
        tracing::info!("{line}");
    }
}

/// What the run will do, first of all.
fn told(job: &Job) {
    tracing::info!("{}", job.delta());
    if let Some(change) = job.change() {
        let anew = change.restart().map_or("nothing", curate::Restart::name);
        tracing::info!(
            "to read: {} row groups, {} rows; starts anew: {anew}",
            change.unread(),
            job.rows_to_read()
        );
    }
}

fn tell(job: &Job, outcome: &Outcome) {
    let current = job.settings().output.join("current");
    if outcome.ran {
        let style = if terminal::watched() { Style { width: 0, bold: true } } else { Style::PLAIN };
        terminal::say(table::table(&outcome.tally, &outcome.costs, style));
        told_bill(&outcome.costs);
    } else {
        tracing::info!("nothing to do: shards, settings, models and prompts are those of the snapshot");
    }
    for (lang, rows) in outcome.manifest.rows_by_lang() {
        tracing::info!("{lang}: {rows} rows in {}", current.join(lang.tag()).display());
    }
    tracing::info!("digest of the rows: {:032x}", outcome.manifest.digest);
}
