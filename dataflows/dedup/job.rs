//! Everything a run of dedup needs, prepared and checked before any work.

use super::change::Change;
use super::settings::Settings;
use crate::config::Mode;
use crate::error::Result;
use crate::model::Stage;
use crate::sink::keep_list::KeepList;
use crate::sink::manifest::{Delta, ShardEntry, entries};
use crate::sink::snapshot::Output;
use crate::source::list::{self, Shard};
use crate::source::open::Files;
use crate::source::shard::{Survey, survey};
use crate::source::tasks::{ReadProgress, Reading, TaskQueue, rows_of};
use crate::telemetry::Progress;
use std::sync::Arc;

/// A prepared run.
pub struct Job {
    pub(super) settings: Settings,
    pub(super) fingerprint: u128,
    pub(super) output: Output,
    pub(super) shards: Arc<[Shard]>,
    pub(super) surveys: Vec<Survey>,
    pub(super) entries: Vec<ShardEntry>,
    pub(super) known: Option<KeepList>,
    pub(super) reading: Arc<Reading>,
    pub(super) progress: Arc<Progress>,
    /// What a run over durable state has to do; none for one in memory, or an idle one.
    pub(super) change: Option<Change>,
}

impl Job {
    /// The settings of the run.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far the reading is.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// How the wanted shards differ from the snapshot before.
    pub fn delta(&self) -> Delta {
        Delta::between(self.known.as_ref().map_or(&[], |known| &known.shards), &self.entries)
    }

    /// Row groups that it has to read.
    pub(super) fn unread(&self) -> usize {
        self.change.as_ref().map_or_else(|| self.reading.tasks.left(), |change| change.missing.len())
    }

    fn rows_to_read(&self) -> u64 {
        let Some(change) = &self.change else {
            return self.surveys.iter().map(|survey| u64::from(survey.rows)).sum();
        };
        rows_of(&change.missing, &self.surveys)
    }

    /// Whether readers see what this run would make: the same shards and settings, every file there.
    pub fn is_done(&self) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.fingerprint == self.fingerprint
                && self.delta().is_empty()
                && known.is_whole(self.output.folder())
        })
    }
}

/// Prepares a run.
///
/// # Errors
/// Settings out of range, inputs that are away or malformed, an output folder that another process uses or that is that
/// of another command.
pub fn prepare(settings: Settings) -> Result<Job> {
    settings.check()?;
    let fingerprint = settings.fingerprint()?;
    let shards: Arc<[Shard]> = list::list(&settings.input)?.into();
    let surveys = survey(&shards, &Files, &settings.source.columns)?;
    let output = Output::open(&settings.output)?;
    let known = KeepList::load(output.folder())?;
    let entries = entries(&shards, &surveys, known.as_ref().map_or(&[], |known| &known.shards))?;
    let progress = Arc::new(Progress::default());
    let reading = Arc::new(Reading {
        shards: Arc::clone(&shards),
        open: Arc::new(Files),
        settings: settings.source.clone(),
        tasks: Arc::new(TaskQueue::all(&surveys)),
        epoch_per_task: false,
        progress: Arc::new(ReadProgress::default()),
    });
    let mut job = Job {
        settings,
        fingerprint,
        output,
        shards,
        surveys,
        entries,
        known,
        reading,
        progress,
        change: None,
    };
    // An idle run needs no state.
    if job.settings.state.mode == Mode::Durable && !job.is_done() {
        let (state, known) = (job.output.state(), job.known.as_ref());
        job.change = Some(Change::of(&state, known, &job.settings, &job.entries, &job.surveys)?);
    }
    job.progress.expect(Stage::Read, job.rows_to_read());
    Ok(job)
}
