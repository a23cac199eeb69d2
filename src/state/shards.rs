//! The shards of a state and of a run: which are new, gone or replaced, what must still be read of them.
//!
//! **Why**: a run's cost must follow what changed, so shards are compared by digest; and places in the state name shards by
//! labels that ascend as keys do and stay, whatever comes between.

use super::artefact::{Artefact, name_of, pieces};
use super::codec::{Codec, Labels, Shape};
use super::damage::damaged;
use super::manifest::{FORMAT, StateShard};
use super::store::Store;
use crate::error::Result;
use crate::model::{Lang, Reason, Stage};
use crate::sink::manifest::ShardEntry;
use crate::source::shard::Survey;
use crate::source::tasks::Task;
use crate::stage::sign::FORM;
use crate::workers::{cores, in_parallel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// A shard that is wanted now, or was before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) label: u32,
    /// Its artefact in the state.
    pub(crate) old: Option<String>,
    /// Its position in the list of wanted shards, its digest and its artefact.
    pub(crate) new: Option<(usize, u128, String)>,
}

/// A shard that differs: its position, its artefact before and now.
pub(crate) type Differing = (u32, Option<Artefact>, Option<Artefact>);

/// All shards, by key, wanted or not; labelled. `None` if there is no room for a label between two others. `front` is
/// the fingerprint of what artefacts are made with.
pub(crate) fn members(old: &[StateShard], entries: &[ShardEntry], front: u128) -> Option<Vec<Member>> {
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
    let mut members: Vec<Member> = members.into_values().collect();
    label(&mut members).then_some(members)
}

/// How places of these shards are written.
pub(crate) fn codec(members: &[Member]) -> Codec {
    Codec::new(Labels::new(members.iter().map(|member| member.label).collect()))
}

/// Row groups that no artefact and no piece has yet, and the shards whose artefact is not sealed, both by position in the
/// wanted list.
pub(crate) fn missing(artefacts: &Path, members: &[Member], surveys: &[Survey]) -> (Vec<Task>, Vec<usize>) {
    let (mut missing, mut unsealed) = (Vec::new(), Vec::new());
    for member in members {
        let Some((at, _, name)) = &member.new else { continue };
        let path = artefacts.join(name);
        // One that this run reads is looked at first: where it is torn, it is made anew.
        if if member.old.as_ref() == Some(name) { path.is_file() } else { Artefact::is_whole(&path) } {
            continue;
        }
        unsealed.push(*at);
        for group in groups(surveys, *at) {
            if !Artefact::is_whole(&pieces(artefacts, name).join(u32::to_string(&group))) {
                missing.push(Task { shard: u32::try_from(*at).unwrap_or(u32::MAX), row_group: group });
            }
        }
    }
    (missing, unsealed)
}

/// The row groups of a shard that have rows.
fn groups(surveys: &[Survey], at: usize) -> impl Iterator<Item = u32> {
    let groups = surveys.get(at).map(|survey| survey.row_groups.as_slice()).unwrap_or_default();
    (0..).zip(groups).filter(|(_, rows)| **rows > 0).map(|(group, _)| group)
}

/// The folder of the pieces of each wanted shard.
pub(crate) fn folders(artefacts: &Path, members: &[Member], wanted: usize) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::new(); wanted];
    for (at, _, name) in members.iter().filter_map(|member| member.new.as_ref()) {
        if let Some(folder) = folders.get_mut(*at) {
            *folder = pieces(artefacts, name);
        }
    }
    folders
}

/// Makes artefacts of the pieces of shards that are read to their end. Pieces go once the disk has the whole, before a
/// commit is through.
///
/// # Errors
/// As [`Artefact::seal`].
pub(crate) fn seal(
    store: &Store,
    members: &[Member],
    unsealed: &[usize],
    surveys: &[Survey],
    shape: Shape,
) -> Result<()> {
    let wanted = members.iter().filter_map(|member| member.new.as_ref());
    let open: Vec<_> = wanted.filter(|(at, ..)| unsealed.binary_search(at).is_ok()).collect();
    let folder = store.artefacts();
    in_parallel("seal", open.len(), cores(), |number| {
        let (at, _, name) = open[number];
        Artefact::seal(&folder, name, groups(surveys, *at), shape)?;
        crate::points::reached("artefact sealed");
        let (folder, name) = (folder.clone(), name.clone());
        store.syncer().later(move || Artefact::settle(&folder, &name));
        Ok(())
    })
    .map(drop)
}

/// The artefacts of the shards that differ, by position, as they were and as they are.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if one is away or damaged.
pub(crate) fn differing(artefacts: &Path, members: &[Member]) -> Result<Vec<Differing>> {
    let open = |name: &String| open(artefacts, name);
    let mut differing = Vec::new();
    for (at, member) in (0..).zip(members) {
        let new = member.new.as_ref().map(|(_, _, name)| name);
        if member.old.as_ref() != new {
            differing.push((at, member.old.as_ref().map(open).transpose()?, new.map(open).transpose()?));
        }
    }
    Ok(differing)
}

/// Opens an artefact that must be there.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is away or damaged.
pub(crate) fn open(artefacts: &Path, name: &str) -> Result<Artefact> {
    let path = artefacts.join(name);
    Artefact::open(&path)?.ok_or_else(|| damaged(&path, "artefact missing"))
}

/// The shards of the next state.
pub(crate) fn of_state(members: &[Member]) -> Vec<StateShard> {
    let of = |member: &Member| {
        let (_, digest, artefact) = member.new.clone()?;
        Some(StateShard { key: member.key.clone(), digest, label: member.label, artefact })
    };
    members.iter().filter_map(of).collect()
}

/// Adds to a fingerprint what state depends on beside settings: its layout, the form of signatures, and what the numbers of
/// langs, stages and reasons stand for.
pub(crate) fn add_layout(hasher: &mut Xxh3) {
    hasher.update(&FORMAT.to_le_bytes());
    hasher.update(&FORM.to_le_bytes());
    let langs = Lang::all().map(Lang::tag);
    let names =
        Reason::ALL.iter().map(|reason| reason.name()).chain(Stage::ALL.iter().map(|stage| stage.name()));
    for part in std::iter::once(env!("CARGO_PKG_VERSION")).chain(langs).chain(names) {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
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
