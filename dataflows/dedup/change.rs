//! What a run of dedup has to do: which shards differ from the state, and what must still be read.

use super::settings::Settings;
use crate::error::{Error, Result};
use crate::sink::keep_list::KeepList;
use crate::sink::manifest::ShardEntry;
use crate::source::shard::Survey;
use crate::source::tasks::Task;
use crate::state::codec::Shape;
use crate::state::manifest::{Print, StateManifest};
use crate::state::shards::{Member, add_layout, codec, members, missing, of_state};
use crate::state::store::{Store, Team};
use crate::state::tables::Tables;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// What a run has to do.
pub(super) struct Change {
    pub(super) store: Arc<Store>,
    /// Every shard, wanted or not, by key: the places of a run count these.
    pub(super) members: Vec<Member>,
    /// Row groups that no artefact and no piece has yet, by position in the wanted list.
    pub(super) missing: Vec<Task>,
    /// Shards whose artefact is not sealed.
    pub(super) unsealed: Vec<usize>,
    pub(super) shape: Shape,
    prints: BTreeMap<String, Print>,
}

impl Change {
    /// Compares the wanted shards and the settings with the state of the lists before.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the state is damaged or cannot be written.
    pub(super) fn of(
        folder: &Path,
        known: Option<&KeepList>,
        settings: &Settings,
        entries: &[ShardEntry],
        surveys: &[Survey],
    ) -> Result<Self> {
        let mut store = Store::open(folder, known.map(KeepList::state_name).transpose()?)?;
        let front = front(settings)?;
        let dedup = settings.fingerprint_of(&["dedup"])?;
        let prints: BTreeMap<String, Print> = [("front", front), ("dedup", dedup)]
            .map(|(stage, print)| (stage.to_owned(), Print(print)))
            .into();
        let stands = store.base().made_with == prints;
        let old = if stands { store.base().shards.clone() } else { Vec::new() };
        let standing = members(&old, entries, front).filter(|_| stands);
        let members = if let Some(members) = standing {
            members
        } else {
            // Other settings, or no room for a label: all of it from artefacts.
            store.restart(|_| true);
            members(&[], entries, front).ok_or_else(|| Error::bug("no room for the labels of shards"))?
        };
        let (missing, unsealed) = missing(&store.artefacts(), &members, surveys);
        let shape = Shape::of(&settings.sign);
        Ok(Self { store: Arc::new(store), members, missing, unsealed, shape, prints })
    }

    /// The tables of the state.
    pub(super) fn tables(&self, settings: &Settings) -> Tables {
        Tables {
            store: Arc::clone(&self.store),
            codec: codec(&self.members),
            sort_bytes: usize::try_from(settings.state.sort_bytes).unwrap_or(usize::MAX),
            team: Team::alone(settings.workers),
        }
    }

    /// Makes durable what the run added, for these lists.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it: the state before stands.
    pub(super) fn commit(&self, list: &KeepList) -> Result<()> {
        let next = StateManifest {
            made_with: self.prints.clone(),
            shards: of_state(&self.members),
            ..StateManifest::default()
        };
        self.store.commit(list.state_name()?, next).map(drop)
    }
}

/// The fingerprint of what artefacts are made with: settings, and the layout of the state.
fn front(settings: &Settings) -> Result<u128> {
    let mut hasher = Xxh3::new();
    hasher.update(&settings.fingerprint_of(&["sign", "source"])?.to_le_bytes());
    add_layout(&mut hasher);
    Ok(hasher.digest128())
}
