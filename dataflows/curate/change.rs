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
use crate::model::{Lang, Reason, Stage};
use crate::sink::columns::Versions;
use crate::sink::manifest::{Manifest, ShardEntry};
use crate::source::shard::Survey;
use crate::source::tasks::Task;
use crate::stage::sign::FORM;
use crate::state::artefact::{Artefact, name_of, pieces};
use crate::state::codec::{Codec, Labels, Shape};
use crate::state::manifest::{FORMAT, Print, StateManifest, StateShard};
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

/// A shard that is wanted now, or was before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) label: u32,
    /// Its artefact in the state.
    pub(super) old: Option<String>,
    /// Its position in the list of wanted shards, its digest and its artefact.
    pub(super) new: Option<(usize, u128, String)>,
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
        hasher.update(&FORMAT.to_le_bytes());
        hasher.update(&FORM.to_le_bytes());
        // State holds langs and reasons by their numbers.
        let langs = Lang::all().map(Lang::tag);
        let names =
            Reason::ALL.iter().map(|reason| reason.name()).chain(Stage::ALL.iter().map(|stage| stage.name()));
        for part in [LID.sha256, env!("CARGO_PKG_VERSION")].into_iter().chain(langs).chain(names) {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
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
        let mut old = if restart == Some(Restart::Dedup) { Vec::new() } else { store.base().shards.clone() };
        let mut members = members_of(&old, entries, front);
        if !label(&mut members) {
            // No room between two labels: all of them are given anew, and what is sorted by them is made anew.
            (restart, old) = (Some(Restart::Dedup), Vec::new());
            members = members_of(&old, entries, front);
            label(&mut members);
        }
        if let Some(restart) = restart {
            store.restart(|table| restart.drops(table));
        }
        let artefacts = store.artefacts();
        let (mut missing, mut unsealed) = (Vec::new(), Vec::new());
        let shape = Shape::of(&making.settings.sign);
        for member in &members {
            let Some((at, _, name)) = &member.new else { continue };
            let path = artefacts.join(name);
            // One that this run reads is looked at first: where it is torn, it is made anew.
            if if member.old.as_ref() == Some(name) { path.is_file() } else { Artefact::is_whole(&path) } {
                continue;
            }
            unsealed.push(*at);
            let survey = surveys.get(*at);
            let groups = survey.map(|survey| survey.row_groups.as_slice()).unwrap_or_default();
            for (group, _) in (0..).zip(groups).filter(|(_, rows)| **rows > 0) {
                if !Artefact::is_whole(&pieces(&artefacts, name).join(u32::to_string(&group))) {
                    missing.push(Task { shard: u32::try_from(*at).unwrap_or(u32::MAX), row_group: group });
                }
            }
        }
        let codec = Codec::new(Labels::new(members.iter().map(|member| member.label).collect()));
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
        let codec = Codec::new(Labels::new(members.iter().map(|member| member.label).collect()));
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
        let artefacts = self.store.artefacts();
        for (at, _, name) in self.members.iter().filter_map(|member| member.new.as_ref()) {
            if self.unsealed.binary_search(at).is_ok() {
                let groups = job.surveys.get(*at).map(|survey| survey.row_groups.clone()).unwrap_or_default();
                let groups = (0..).zip(groups).filter(|(_, rows)| *rows > 0).map(|(group, _)| group);
                Artefact::seal(&artefacts, name, groups, self.shape)?;
                crate::points::reached("artefact sealed");
            }
        }
        Ok(())
    }

    /// The artefacts of the shards that differ, by position, as they were and as they are.
    pub(super) fn differing(&self) -> Result<Vec<(u32, Option<Artefact>, Option<Artefact>)>> {
        let artefacts = self.store.artefacts();
        let open = |name: &String| {
            let path = artefacts.join(name);
            Artefact::open(&path)?.ok_or_else(|| crate::state::damage::damaged(&path, "artefact missing"))
        };
        let mut differing = Vec::new();
        for (at, member) in (0..).zip(&self.members) {
            let new = member.new.as_ref().map(|(_, _, name)| name);
            if member.old.as_ref() != new {
                differing.push((at, member.old.as_ref().map(open).transpose()?, new.map(open).transpose()?));
            }
        }
        Ok(differing)
    }

    /// The shards of the next state.
    pub(super) fn shards(&self) -> Vec<StateShard> {
        let of = |member: &Member| {
            let (_, digest, artefact) = member.new.clone()?;
            Some(StateShard { key: member.key.clone(), digest, label: member.label, artefact })
        };
        self.members.iter().filter_map(of).collect()
    }
}

/// All shards, by key. Labels of new ones are 0.
fn members_of(old: &[StateShard], entries: &[ShardEntry], front: u128) -> Vec<Member> {
    let mut members: BTreeMap<&str, Member> = BTreeMap::new();
    for shard in old {
        let old = Some(shard.artefact.clone());
        members.insert(&shard.key, Member { key: shard.key.clone(), label: shard.label, old, new: None });
    }
    for (at, entry) in entries.iter().enumerate() {
        let member = members.entry(&entry.key).or_insert_with(|| Member {
            key: entry.key.clone(),
            label: 0,
            old: None,
            new: None,
        });
        member.new = Some((at, entry.digest, name_of(entry.digest, &entry.key, front)));
    }
    members.into_values().collect()
}

/// Room that is left between labels of shards that come in order.
const ROOM: u32 = 1 << 12;

/// Labels the new shards between the old ones. `false` if there is no room.
fn label(members: &mut [Member]) -> bool {
    let mut at = 0;
    while at < members.len() {
        if members[at].old.is_some() {
            at += 1;
            continue;
        }
        let before = at.checked_sub(1).map(|before| members[before].label);
        let many = members[at..].iter().take_while(|member| member.old.is_none()).count();
        let next = members.get(at + many).map(|member| member.label);
        let low = before.map_or(0, |label| u64::from(label) + 1);
        let count = many as u64;
        let step = match next {
            // Behind the last: as much room as there is, at most the usual one.
            None => ((u64::from(u32::MAX) - low.min(u64::from(u32::MAX))) / count).min(u64::from(ROOM)),
            Some(next) => u64::from(next).saturating_sub(low) / count,
        };
        if step == 0 {
            return false;
        }
        for (place, member) in (0..).zip(&mut members[at..at + many]) {
            // In the middle of its room, so that others fit on both sides.
            let label = low + place * step + step / 2;
            member.label = u32::try_from(label).unwrap_or(u32::MAX);
        }
        at += many;
    }
    true
}

/// What is said where a change is asked of a run in memory.
pub(super) fn needed(change: Option<&Arc<Change>>) -> Result<&Arc<Change>> {
    change.ok_or_else(|| Error::bug("no state was opened for this run"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_ascend_and_stay(script in prop::collection::vec(0..10_000u32, 1..200)) {
            let mut members: Vec<Member> = Vec::new();
            for key in script {
                let key = format!("{key:05}");
                let before: BTreeMap<String, u32> = members.iter().map(|member| (member.key.clone(), member.label)).collect();
                if before.contains_key(&key) {
                    continue;
                }
                members.push(Member { key, label: 0, old: None, new: None });
                members.sort_by(|a, b| a.key.cmp(&b.key));
                if !label(&mut members) {
                    // Twelve shards can come into one gap at least.
                    prop_assert!(members.len() > 12);
                    break;
                }
                prop_assert!(members.is_sorted_by(|a, b| a.label < b.label));
                for member in &mut members {
                    prop_assert!(before.get(&member.key).is_none_or(|label| *label == member.label));
                    member.old = Some(String::new());
                }
            }
        }
    }
}
