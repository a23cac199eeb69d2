//! `isogloss bench`: what each stage before the models costs on the shards of a person, and what dedup finds.

use super::{interrupt, terminal};
use crate::cli;
use crate::config::Settings;
use crate::curate::bench::{Bench, Measured};
use crate::dedup;
use crate::dedup::recall::{self, Judged, Recall};
use crate::error::{Error, Result};
use crate::stop::Stop;
use serde::Serialize;
use std::sync::Arc;

/// A line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "line", rename_all = "lowercase")]
enum Line<'a> {
    Machine {
        version: &'static str,
        cores: usize,
        workers: usize,
        repeat: usize,
        fingerprint: String,
    },
    Stage(&'a Measured),
    Recall {
        script: &'a str,
        recall: Option<f64>,
        #[serde(flatten)]
        counts: &'a Recall,
    },
    Errors {
        removed_unplanted: u64,
    },
}

/// Measures as the flags say.
///
/// # Errors
/// Settings out of range, inputs or a truth file that are away or malformed, a missing language model, an interrupt.
pub fn bench(flags: &cli::Bench) -> Result<()> {
    let settings = settings_of(flags)?;
    let truth = flags.truth.as_deref().map(recall::truth).transpose()?;
    let (runtime, stop) = (super::run::runtime()?, Stop::default());
    interrupt::watch(runtime.handle(), stop.clone());
    let done = measured(flags, settings, truth.as_deref(), &stop);
    runtime.shutdown_background();
    done
}

fn settings_of(flags: &cli::Bench) -> Result<Settings> {
    let mut settings = Settings::load(&flags.settings, &flags.set)?;
    if !flags.input.is_empty() {
        settings.input.clone_from(&flags.input);
    }
    settings.workers = flags.workers.unwrap_or(settings.workers);
    Ok(settings)
}

fn measured(
    flags: &cli::Bench,
    settings: Settings,
    truth: Option<&[recall::Planted]>,
    stop: &Stop,
) -> Result<()> {
    let bench = Arc::new(Bench::open(settings, None)?);
    let settings = bench.settings();
    let machine = Line::Machine {
        version: env!("CARGO_PKG_VERSION"),
        cores: crate::workers::cores(),
        workers: settings.workers,
        repeat: usize::from(flags.repeat),
        fingerprint: format!("{:032x}", settings.fingerprint()?),
    };
    say(flags.json, &machine)?;
    bench.measure(usize::from(flags.repeat), stop, |stage| say(flags.json, &Line::Stage(stage)))?;
    let Some(truth) = truth else { return Ok(()) };
    let whole = dedup::Settings {
        input: settings.input.clone(),
        workers: settings.workers,
        source: settings.source.clone(),
        sign: settings.sign.clone(),
        dedup: settings.dedup.clone(),
        ..dedup::Settings::default()
    };
    let Judged { scripts, removed_unplanted } = recall::judged(whole, truth, stop)?;
    for (script, counts) in &scripts {
        say(flags.json, &Line::Recall { script, recall: counts.share(), counts })?;
    }
    say(flags.json, &Line::Errors { removed_unplanted })
}

fn say(json: bool, line: &Line<'_>) -> Result<()> {
    if json {
        let text =
            serde_json::to_string(line).map_err(|cause| Error::bug("line not encoded").because(cause))?;
        terminal::say_json(&text);
    } else {
        terminal::say(text_of(line));
    }
    Ok(())
}

fn text_of(line: &Line<'_>) -> String {
    match line {
        Line::Machine { version, cores, workers, repeat, fingerprint } => format!(
            "isogloss {version}, {cores} cores, {workers} workers, median of {repeat}, settings {fingerprint}\n\
             {:10}{:>10}{:>10}{:>9}{:>9}{:>9}{:>16}{:>8}{:>12}{:>8}{:>8}{:>9}",
            "up to",
            "in",
            "kept",
            "dropped",
            "faulted",
            "s",
            "(from, to)",
            "MB/s",
            "documents/s",
            "CPU s",
            "own",
            "peak MB"
        ),
        Line::Stage(stage) => {
            let number =
                |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.2}"));
            let peak = stage
                .peak_memory_bytes
                .map_or_else(|| "?".to_owned(), |bytes| (bytes / 1_000_000).to_string());
            format!(
                "{:10}{:>10}{:>10}{:>9}{:>9}{:>9.3}{:>16}{:>8.1}{:>12.0}{:>8}{:>8}{peak:>9}",
                stage.stage.name(),
                stage.entered,
                stage.kept,
                stage.dropped,
                stage.faulted,
                stage.seconds,
                format!("({:.3}, {:.3})", stage.seconds_least, stage.seconds_most),
                stage.mb_per_second,
                stage.documents_per_second,
                number(stage.cpu_seconds),
                number(stage.own_cpu_seconds),
            )
        }
        Line::Recall { script, recall, counts } => format!(
            "{script}: recall at {} and over {} ({} of {}); under {} merged: {} of {}",
            recall::LIKE,
            recall.map_or_else(|| "?".to_owned(), |share| format!("{share:.4}")),
            counts.found,
            counts.pairs,
            recall::UNLIKE,
            counts.merged,
            counts.unlike
        ),
        Line::Errors { removed_unplanted } => {
            format!("documents removed that stand in no planted pair: {removed_unplanted}")
        }
    }
}
