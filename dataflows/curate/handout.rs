//! What the leading process of a run tells the others, and what they report.
//!
//! **Why**: one process looks at folders and settings and decides; if each did, two could see two things. Text, keys and
//! answers are no part of it.

use super::change::{Change, Restart};
use super::job::{Job, reading, rereading};
use super::roles::Roles;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::llm::embedded::lid::Lid;
use crate::llm::models::{Cache, LID};
use crate::sink::columns::Versions;
use crate::sink::manifest::{AuditFile, ShardEntry};
use crate::sink::names::hash;
use crate::sink::parts::PartContext;
use crate::sink::snapshot::Output;
use crate::sink::splice::Splices;
use crate::source::list::Shard;
use crate::source::tasks::{Task, TaskQueue};
use crate::stage::identify::Identifier;
use crate::state::codec::Shape;
use crate::state::manifest::TallyLine;
use crate::state::shards::Member;
use crate::state::store::Metas;
use crate::telemetry::Progress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::absolute;
use std::sync::Arc;

/// Everything that a process needs to know of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handout {
    processes: usize,
    settings: Settings,
    shards: Vec<Shard>,
    entries: Vec<ShardEntry>,
    versions: Versions,
    #[serde(with = "hash")]
    fingerprint: u128,
    snapshot: Option<Name>,
    restart: Option<Restart>,
    members: Vec<Member>,
    missing: Vec<Task>,
}

/// The name of a snapshot's state.
#[derive(Debug, Serialize, Deserialize)]
struct Name(#[serde(with = "hash")] u128);

/// What a process made of the row groups that it took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrontReport {
    /// Rows read that the leader does not know of yet.
    pub(super) rows: u64,
    /// The most bytes of text that were in flight.
    pub(super) peak_bytes: u64,
}

/// What a process made of the dataflow that all share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PassReport {
    pub(super) tally: Vec<TallyLine>,
    pub(super) audit: Vec<AuditFile>,
    pub(super) touched: BTreeSet<u32>,
    pub(super) peaks: [u64; 3],
    /// What it added to the tables of the state.
    pub(super) tables: Metas,
    pub(super) sums: [[u64; 2]; 2],
}

impl Handout {
    /// Of a run of `processes`. Paths are absolute: every process sees the same folders, from wherever it was started.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder of this process is gone.
    pub(super) fn of(job: &Job, change: &Change, processes: usize) -> Result<Self> {
        let whole = |path: &std::path::Path| {
            absolute(path)
                .map_err(|cause| Error::unavailable("folder of this process unknown").because(cause))
        };
        let shards =
            job.reading.shards.iter().map(|shard| Ok(Shard { path: whole(&shard.path)?, ..shard.clone() }));
        Ok(Self {
            processes,
            settings: Settings { output: whole(&job.settings.output)?, ..job.settings.clone() },
            shards: shards.collect::<Result<_>>()?,
            entries: job.entries.clone(),
            versions: job.parts.versions.clone(),
            fingerprint: job.parts.fingerprint,
            snapshot: change.snapshot.map(Name),
            restart: change.restart,
            members: change.members.clone(),
            missing: change.missing.clone(),
        })
    }

    /// Processes of the run.
    pub(super) fn processes(&self) -> usize {
        self.processes
    }

    /// The run as a process sees it whose files have `mark` in their names, which takes its row groups from `tasks` and asks nobody.
    ///
    /// # Errors
    /// The file of the language model is away; the folders of the run are, or are not the same here.
    pub(super) fn job(
        self,
        mark: &str,
        tasks: impl FnOnce(Arc<Progress>) -> TaskQueue,
        identifier: Option<Arc<dyn Identifier>>,
    ) -> Result<Job> {
        let Self { settings, entries, versions, fingerprint, .. } = self;
        let opened = || -> Result<Arc<dyn Identifier>> {
            let cache = Cache::at(settings.model_cache.clone())?;
            Ok(Arc::new(Lid::open(&cache.path_of(&LID)?)?))
        };
        let identifier = identifier.map_or_else(opened, Ok)?;
        let output = Output::join(&settings.output);
        let known = output.manifest()?.map(Arc::new);
        let (snapshot, shape) = (self.snapshot.map(|name| name.0), Shape::of(&settings.sign));
        let seen = known.as_deref().map(crate::sink::manifest::Manifest::state_name).transpose()?;
        if !settings.output.is_dir() || seen != snapshot {
            return Err(Error::unavailable(format!(
                "output differs from what the leading process sees: path={}, remedy=let all processes share the folders, \
                 under the same paths",
                settings.output.display()
            )));
        }
        let change =
            Change::join(&output.state(), mark, (snapshot, self.restart), self.members, self.missing, shape)?;
        let parts = PartContext {
            shards: entries.iter().map(|entry| (entry.key.clone(), entry.digest)).collect(),
            fingerprint,
            versions,
            store: output.store(),
            block_rows: settings.parts.block_rows,
            splices: Splices::default(),
        };
        let shards: Arc<[Shard]> = self.shards.into();
        let progress = Arc::new(Progress::default());
        Ok(Job {
            surveys: Vec::new(),
            entries,
            known,
            reading: Arc::new(reading(&settings, Arc::clone(&shards), tasks(Arc::clone(&progress)))),
            rereading: Arc::new(rereading(&settings, shards)),
            parts: Arc::new(parts),
            identifier,
            roles: Roles::absent(),
            asking: None,
            progress,
            change: Some(Arc::new(change)),
            output,
            settings,
        })
    }
}
