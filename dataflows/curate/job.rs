//! Everything a run needs, prepared and checked before any work or spending.
//!
//! **Why**: a typo, a broken shard, a missing model or key must cost seconds. Only what is opened here can be asked
//! later, and the fingerprint is complete before the first row is read.

use super::change::{Change, Making};
use super::front::FrontContext;
use super::outcome::costs_of;
use super::roles::{self, Asking, Endpoints, Roles};
use crate::config::{Mode, Settings};
use crate::error::{Error, Result};
use crate::llm::Role;
use crate::llm::embedded::lid::Lid;
use crate::llm::http::batch;
use crate::llm::journal::{self, Journal};
use crate::llm::models::{Cache, LID};
use crate::llm::prompt::Prompts;
use crate::model::Stage;
use crate::sink::manifest::{Delta, Manifest, ShardEntry, entries};
use crate::sink::parts::PartContext;
use crate::sink::snapshot::Output;
use crate::sink::splice::Splices;
use crate::source::list::{self, Shard};
use crate::source::open::Files;
use crate::source::shard::{Survey, survey};
use crate::source::tasks::{ReadProgress, Reading, TaskQueue, rows_of};
use crate::stage::codebook::Codebook;
use crate::stage::identify::Identifier;
use crate::stage::reread::Rereading;
use crate::stage::segment::{Segmenter, drafts_of};
use crate::stage::sign::FORM;
use crate::stop::Stop;
use crate::telemetry::{Costs, Progress, SystemClock};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A prepared run.
pub struct Job {
    pub(super) settings: Settings,
    pub(super) output: Output,
    pub(super) surveys: Vec<Survey>,
    pub(super) entries: Vec<ShardEntry>,
    pub(super) known: Option<Arc<Manifest>>,
    pub(super) reading: Arc<Reading>,
    pub(super) rereading: Arc<Rereading>,
    pub(super) parts: Arc<PartContext>,
    pub(super) identifier: Arc<dyn Identifier>,
    pub(super) roles: Roles,
    /// Of the process that asks.
    pub(super) asking: Option<Asking>,
    pub(super) progress: Arc<Progress>,
    /// What durable state makes of it; without one, everything is in memory.
    pub(super) change: Option<Arc<Change>>,
}

impl Job {
    /// What the front needs that reads so.
    pub(super) fn front(&self, reading: Arc<Reading>) -> FrontContext {
        FrontContext {
            settings: self.settings.clone(),
            identifier: Arc::clone(&self.identifier),
            keys: self.entries.iter().map(|entry| entry.key.clone()).collect(),
            reading,
            progress: Arc::clone(&self.progress),
        }
    }

    /// The settings of the run.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Rows of all shards.
    pub fn rows(&self) -> u64 {
        self.surveys.iter().map(|survey| u64::from(survey.rows)).sum()
    }

    /// Bytes of text of all shards, as their footers tell.
    pub fn text_bytes(&self) -> u64 {
        self.surveys.iter().map(|survey| survey.text_bytes).sum()
    }

    /// Waits until the disk has every answer, and lets go of what was collected of batches.
    pub(super) fn sync_journal(&self) -> Result<()> {
        let Some(asking) = &self.asking else { return Ok(()) };
        asking.journal.sync()?;
        batch::tidy(&self.output.state(), &asking.journal)
    }

    /// What it asks with.
    pub(super) fn asking(&self) -> Result<&Asking> {
        self.asking.as_ref().ok_or_else(|| Error::bug("this process asks nobody"))
    }

    /// What durable state makes of the run; `None` in memory.
    pub fn change(&self) -> Option<&Change> {
        self.change.as_deref()
    }

    /// How far each stage is.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What the run cost so far; of a run that ended with an error, too.
    pub fn costs(&self) -> Costs {
        costs_of(&self.roles)
    }

    /// Rows that are still to be read.
    pub fn rows_to_read(&self) -> u64 {
        rows_to_read(self.change.as_deref(), &self.surveys)
    }

    /// How the wanted shards differ from the snapshot before.
    pub fn delta(&self) -> Delta {
        self.known.as_deref().unwrap_or(&Manifest::default()).delta(&self.entries)
    }

    /// What names the models of a role.
    pub fn version_of(&self, role: Role) -> &str {
        let versions = &self.parts.versions;
        match role {
            Role::Translate => &versions.translate,
            Role::Instruct => &versions.instruct,
            Role::Score => &versions.score,
            Role::Embed => &versions.embed,
            Role::Localize => &versions.localize,
        }
    }

    /// Whether the snapshot that readers see is what this run would make: the same shards, settings, models and
    /// prompts, and no row that is worth another try.
    pub fn is_done(&self) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.fingerprint == self.parts.fingerprint
                && known.versions == self.parts.versions
                && known.audit_mode == self.settings.audit
                && known.delta(&self.entries).is_empty()
                && !known.has_transient_faults()
        })
    }
}

/// What a caller puts in the place of what the settings name: tests script models and need no files.
#[derive(Clone, Default)]
pub struct Given {
    /// In the place of the settings' endpoints.
    pub endpoints: Option<Endpoints>,
    /// In the place of the language model.
    pub identifier: Option<Arc<dyn Identifier>>,
}

/// The given identifier, or the language model of the cache.
///
/// # Errors
/// A model file that is missing or not the pinned one.
pub(super) fn identifier(given: Option<Arc<dyn Identifier>>, cache: &Cache) -> Result<Arc<dyn Identifier>> {
    match given {
        Some(identifier) => Ok(identifier),
        None => Ok(Arc::new(Lid::open(&cache.path_of(&LID)?)?)),
    }
}

/// Prepares a run.
///
/// # Errors
/// Settings out of range, inputs that are away or malformed, models or keys that are missing, an output folder that
/// another process uses.
pub fn prepare(settings: Settings, given: Given, stop: &Stop) -> Result<Job> {
    settings.check()?;
    let cache = Cache::at(settings.model_cache.clone())?;
    let shards: Arc<[Shard]> = list::list(&settings.input)?.into();
    let surveys = survey(&shards, &Files, &settings.source.columns)?;
    let identifier = identifier(given.identifier, &cache)?;
    let endpoints = match given.endpoints {
        Some(endpoints) => endpoints,
        None => roles::open(&settings, &cache)?,
    };
    let codebook = Arc::new(Codebook::open(&settings.select.codebook)?);
    let output = Output::open(&settings.output)?;
    let journal = Arc::new(Journal::open(&output.state().join(journal::FILE), Arc::new(SystemClock))?);
    batch::tidy(&output.state(), &journal)?;
    let prompts = Arc::new(Prompts::open(settings.prompts.as_deref(), journal.secret()?)?);
    let known = output.manifest()?.map(Arc::new);
    let entries = entries(&shards, &surveys, known.as_deref().map_or(&[], |known| &known.shards))?;
    let versions = roles::versions(&settings, &endpoints, &prompts, &codebook)?;
    let asking = Asking { endpoints, journal, prompts, codebook };
    let roles = roles::seat(&asking.shared(&settings, &identifier, stop, None))?;
    let parts = PartContext {
        shards: entries.iter().map(|entry| (entry.key.clone(), entry.digest)).collect(),
        fingerprint: fingerprint(&settings)?,
        versions,
        store: output.store(),
        block_rows: settings.parts.block_rows,
        splices: Splices::default(),
    };
    let progress = Arc::new(Progress::default());
    let reading = reading(&settings, Arc::clone(&shards), TaskQueue::all(&surveys));
    let rereading = rereading(&settings, shards);
    let mut job = Job {
        surveys,
        entries,
        known,
        reading: Arc::new(reading),
        rereading: Arc::new(rereading),
        parts: Arc::new(parts),
        identifier,
        roles,
        asking: Some(asking),
        progress,
        change: None,
        output,
        settings,
    };
    // An idle run needs no state.
    if job.settings.state.mode == Mode::Durable && !job.is_done() {
        let prompts = &job.asking()?.prompts;
        let making = Making { settings: &job.settings, versions: &job.parts.versions, prompts };
        let known = job.known.as_deref();
        let change = Change::of(&job.output.state(), known, &making, &job.entries, &job.surveys)?;
        job.change = Some(Arc::new(change));
    }
    job.progress.expect(Stage::Read, job.rows_to_read());
    Ok(job)
}

/// How the shards of a run are read.
pub(super) fn reading(settings: &Settings, shards: Arc<[Shard]>, tasks: TaskQueue) -> Reading {
    Reading {
        shards,
        open: Arc::new(Files),
        settings: settings.source.clone(),
        tasks: Arc::new(tasks),
        epoch_per_task: false,
        progress: Arc::new(ReadProgress::default()),
    }
}

/// How they are read again.
pub(super) fn rereading(settings: &Settings, shards: Arc<[Shard]>) -> Rereading {
    let segmenter = Segmenter::new(&settings.segment);
    Rereading {
        shards,
        open: Arc::new(Files),
        settings: settings.source.clone(),
        segmenter: Arc::new(move |row, shard| drafts_of(&segmenter, shard, row)),
        bundle_rows: settings.bundles.rows as usize,
        bundle_bytes: settings.bundles.bytes,
        readers: settings.workers,
    }
}

fn rows_to_read(change: Option<&Change>, surveys: &[Survey]) -> u64 {
    let Some(change) = change else { return surveys.iter().map(|survey| u64::from(survey.rows)).sum() };
    rows_of(&change.missing, surveys)
}

/// Settings and whatever else of ours can change a row.
fn fingerprint(settings: &Settings) -> Result<u128> {
    let mut hasher = Xxh3::new();
    hasher.update(&settings.fingerprint()?.to_le_bytes());
    hasher.update(&FORM.to_le_bytes());
    for part in [LID.sha256, env!("CARGO_PKG_VERSION")] {
        hasher.update(part.as_bytes());
    }
    Ok(hasher.digest128())
}
