//! What a run has to do: which shards differ from the state, which stages start anew, what must still be read.
//!
//! **Why**: a run's cost must follow what changed. Shards are compared by digest, stages by the fingerprint of the settings
//! that they, and nothing before them, depend on; the first stage that differs starts anew from the table of the stage before.

use super::job::Job;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::llm::Role;
use crate::llm::models::LID;
use crate::llm::prompt::Prompts;
use crate::model::Stage;
use crate::sink::columns::Versions;
use crate::sink::manifest::{Manifest, ShardEntry};
use crate::source::shard::Survey;
use crate::source::tasks::Task;
use crate::state::codec::{Codec, Shape};
use crate::state::manifest::{Print, StateManifest};
use crate::state::shards::{Differing, Member, add_layout, codec, differing, members, missing, seal};
use crate::state::store::{Store, Team};
use crate::state::tables::Tables;
use crate::telemetry::Tally;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The first stage that starts anew. Stages before it take the delta alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Restart {
    /// Dedup, and everything after it: from the artefacts of all shards.
    Dedup,
    /// The sample, from the survivors of dedup.
    Sample,
    /// The models, from what was admitted; answers come from the journal where they are the same.
    Models,
    /// Selection, from the scores.
    Select,
}

impl Restart {
    /// The stage whose ends, and those after it, are told anew.
    pub fn stage(self) -> Stage {
        match self {
            Self::Dedup => Stage::Read,
            Self::Sample => Stage::Sample,
            Self::Models => Stage::Translate,
            Self::Select => Stage::Threshold,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dedup => "dedup",
            Self::Sample => "sample",
            Self::Models => "models",
            Self::Select => "select",
        }
    }

    /// Whether a table starts empty.
    pub(super) fn drops(self, table: &str) -> bool {
        let first = match table.split('/').next().unwrap_or_default() {
            "dedup" | "kept" => Self::Dedup,
            "sample" | "admitted" => Self::Sample,
            "scored" | "again" => Self::Models,
            _ => Self::Select,
        };
        self <= first
    }
}

/// What a run has to do.
pub struct Change {
    pub(super) store: Arc<Store>,
    /// The snapshot that the state belongs to.
    pub(super) snapshot: Option<u128>,
    pub(super) codec: Codec,
    /// Every shard, by key: a run's places count these.
    pub(super) members: Vec<Member>,
    /// Where each wanted shard stands among them.
    pub(super) restart: Option<Restart>,
    pub(super) prints: BTreeMap<String, Print>,
    made_with: BTreeMap<String, Print>,
    /// Row groups that no artefact and no piece has yet, by position in the wanted list.
    pub(super) missing: Vec<Task>,
    /// Ends and handed rows of the state, as it was.
    pub(super) before: Tally,
    /// Shards whose artefact is not sealed.
    pub(super) unsealed: Vec<usize>,
    pub(super) shape: Shape,
}

/// What decides the fingerprints of a run's stages.
pub(super) struct Making<'a> {
    pub(super) settings: &'a Settings,
    pub(super) versions: &'a Versions,
    pub(super) prompts: &'a Prompts,
}

impl Making<'_> {
    /// The fingerprint of the front.
    fn front(&self) -> Result<u128> {
        let keys = ["segment", "identify", "quality", "sign", "seed", "source"];
        let mut hasher = Xxh3::new();
        hasher.update(&self.settings.fingerprint_of(&keys)?.to_le_bytes());
        hasher.update(LID.sha256.as_bytes());
        add_layout(&mut hasher);
        Ok(hasher.digest128())
    }

    fn prints(&self) -> Result<BTreeMap<String, Print>> {
        let settings = self.settings;
        let mut models = Xxh3::new();
        models.update(
            &settings
                .fingerprint_of(&["translate", "instruct", "score", "embed", "select.codebook"])?
                .to_le_bytes(),
        );
        let Versions { translate, instruct, score, embed, localize, .. } = self.versions;
        let prompts = self.prompts.versions();
        let prompts =
            prompts.iter().filter(|(role, _)| !role.starts_with("localize")).map(|(_, version)| version);
        for part in [translate, instruct, score, embed].into_iter().chain(prompts) {
            models.update(part.as_bytes());
            models.update(&[0]);
        }
        let mut dedup = Xxh3::new();
        dedup.update(&settings.fingerprint_of(&["dedup"])?.to_le_bytes());
        dedup.update(format!("{:?}", settings.audit).as_bytes());
        let prints = [
            ("front", self.front()?),
            ("dedup", dedup.digest128()),
            ("sample", settings.fingerprint_of(&["sample"])?),
            ("models", models.digest128()),
            ("select", settings.fingerprint_of(&["select"])?),
        ];
        let mut prints: BTreeMap<String, Print> =
            prints.into_iter().map(|(stage, print)| (stage.to_owned(), Print(print))).collect();
        let all = self.prompts.versions();
        for (role, version) in [
            (Role::Translate, translate),
            (Role::Instruct, instruct),
            (Role::Score, score),
            (Role::Embed, embed),
            (Role::Localize, localize),
        ] {
            let mut hasher = Xxh3::new();
            hasher.update(&settings.fingerprint_of(&[role.name()])?.to_le_bytes());
            hasher.update(version.as_bytes());
            let recipe = if role == Role::Instruct { "recipe" } else { role.name() };
            for (_, version) in
                all.iter().filter(|(name, _)| name.starts_with(role.name()) || name.starts_with(recipe))
            {
                hasher.update(version.as_bytes());
                hasher.update(&[0]);
            }
            prints.insert(role_print(role), Print(hasher.digest128()));
        }
        Ok(prints)
    }
}

/// What the fingerprint of a role is kept under.
fn role_print(role: Role) -> String {
    format!("role/{}", role.name())
}

/// The first stage that was made with other settings.
fn restart_of(base: &StateManifest, prints: &BTreeMap<String, Print>) -> Option<Restart> {
    let other = |stage: &str| base.made_with.get(stage) != prints.get(stage);
    [
        ("front", Restart::Dedup),
        ("dedup", Restart::Dedup),
        ("sample", Restart::Sample),
        ("models", Restart::Models),
        ("select", Restart::Select),
    ]
    .into_iter()
    .find(|(stage, _)| other(stage))
    .map(|(_, restart)| restart)
}

impl Change {
    /// Compares the wanted shards and the settings with the state of the snapshot before.
    pub(super) fn of(
        folder: &Path,
        known: Option<&Manifest>,
        making: &Making<'_>,
        entries: &[ShardEntry],
        surveys: &[Survey],
    ) -> Result<Self> {
        let snapshot = known.map(Manifest::state_name).transpose()?;
        let mut store = Store::open(folder, snapshot)?;
        let prints = making.prints()?;
        let front = making.front()?;
        let before = store.base().tally();
        let made_with = store.base().made_with.clone();
        let mut restart = restart_of(store.base(), &prints);
        let old = if restart == Some(Restart::Dedup) { Vec::new() } else { store.base().shards.clone() };
        let members = if let Some(members) = members(&old, entries, front) {
            members
        } else {
            // No room between two labels: all of them are given anew, and what is sorted by them is made anew.
            restart = Some(Restart::Dedup);
            members(&[], entries, front).ok_or_else(|| Error::bug("no room for the labels of shards"))?
        };
        if let Some(restart) = restart {
            store.restart(|table| restart.drops(table));
        }
        let (missing, unsealed) = missing(&store.artefacts(), &members, surveys);
        let shape = Shape::of(&making.settings.sign);
        let codec = codec(&members);
        Ok(Self {
            store: Arc::new(store),
            snapshot,
            codec,
            members,
            restart,
            prints,
            made_with,
            missing,
            before,
            unsealed,
            shape,
        })
    }

    /// The change that the leading process found, for one that looks at nothing itself; `mark` is its own alone.
    ///
    /// # Errors
    /// As [`Store::join`].
    pub(super) fn join(
        folder: &Path,
        mark: &str,
        (snapshot, restart): (Option<u128>, Option<Restart>),
        members: Vec<Member>,
        missing: Vec<Task>,
        shape: Shape,
    ) -> Result<Self> {
        let mut store = Store::join(folder, snapshot, mark)?;
        if let Some(restart) = restart {
            store.restart(|table| restart.drops(table));
        }
        let codec = codec(&members);
        Ok(Self {
            before: store.base().tally(),
            store: Arc::new(store),
            snapshot,
            codec,
            members,
            restart,
            prints: BTreeMap::new(),
            made_with: BTreeMap::new(),
            missing,
            unsealed: Vec::new(),
            shape,
        })
    }

    /// The stage that starts anew, if one does.
    pub fn restart(&self) -> Option<Restart> {
        self.restart
    }

    /// Whether a role was made with another model, prompt or setting than the state.
    pub(super) fn role_differs(&self, role: Role) -> bool {
        let name = role_print(role);
        self.made_with.get(&name) != self.prints.get(&name)
    }

    /// Row groups that are still to be read.
    pub fn unread(&self) -> usize {
        self.missing.len()
    }

    /// The tables of the state.
    pub(super) fn tables(&self, settings: &Settings, team: Team) -> Tables {
        Tables {
            store: Arc::clone(&self.store),
            codec: self.codec.clone(),
            sort_bytes: usize::try_from(settings.state.sort_bytes).unwrap_or(usize::MAX),
            team,
        }
    }

    /// Makes artefacts of the pieces of shards that are read to their end.
    pub(super) fn seal(&self, job: &Job) -> Result<()> {
        seal(&self.store, &self.members, &self.unsealed, &job.surveys, self.shape)
    }

    /// The artefacts of the shards that differ, by position, as they were and as they are.
    pub(super) fn differing(&self) -> Result<Vec<Differing>> {
        differing(&self.store.artefacts(), &self.members)
    }
}

/// What is said where a change is asked of a run in memory.
pub(super) fn needed(change: Option<&Arc<Change>>) -> Result<&Arc<Change>> {
    change.ok_or_else(|| Error::bug("no state was opened for this run"))
}
