//! What a state holds: its runs, its shards, what each stage was made with, and the counts of ends so far.

use super::damage::damaged;
use super::run::RunMeta;
use crate::error::{Error, Result};
use crate::sink::file::{away, replace};
use crate::sink::names::{hash, hex};
use crate::telemetry::Tally;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Version of the layout of the state: a state of another one is built anew.
pub(crate) const FORMAT: u32 = 2;

/// The state that belongs to one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateManifest {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Counts the commits, so that files of different ones have different names.
    pub(crate) serial: u64,
    /// Fingerprint of what each stage was made with.
    pub(crate) made_with: BTreeMap<String, Print>,
    /// Its shards, by key.
    pub(crate) shards: Vec<StateShard>,
    /// Runs by table.
    pub(crate) tables: BTreeMap<String, Vec<RunMeta>>,
    /// Ends and what stages were handed, of all shards.
    pub(crate) tally: Vec<TallyLine>,
}

/// A fingerprint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print(#[serde(with = "hash")] pub(crate) u128);

/// A shard of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateShard {
    /// Its key.
    pub(crate) key: String,
    /// Digest of its bytes.
    #[serde(with = "hash")]
    pub(crate) digest: u128,
    /// Its label: ascends as keys do.
    pub(crate) label: u32,
    /// The artefact its rows came from.
    pub(crate) artefact: String,
}

/// One count of a tally. `ruling` and `reason` are empty where it is of what a stage was handed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TallyLine {
    pub(crate) stage: String,
    pub(crate) lang: String,
    pub(crate) ruling: String,
    pub(crate) reason: String,
    pub(crate) count: i64,
}

impl StateManifest {
    /// Reads the one of a snapshot; `None` if there is none, or one of another layout.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is damaged or unreadable.
    pub(crate) fn load(folder: &Path, snapshot: u128) -> Result<Option<Self>> {
        let path = path_of(folder, snapshot);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged(&path, "manifest of the state altered").because(cause));
            }
            Err(cause) => return Err(away("state unreadable", &path, cause)),
        };
        let whole = text.split_once('\n').filter(|(check, text)| *check == hex(xxh3_128(text.as_bytes())));
        let (_, text) = whole.ok_or_else(|| damaged(&path, "manifest of the state altered"))?;
        let format =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).ok()?.get("format")?.as_u64();
        if format(text) != Some(u64::from(FORMAT)) {
            tracing::warn!(path = %path.display(), "state of another layout is built anew");
            return Ok(None);
        }
        serde_json::from_str(text)
            .map(Some)
            .map_err(|cause| damaged(&path, "manifest of the state not understood").because(cause))
    }

    /// Writes it for a snapshot, whole or not at all, and waits until the disk has it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn write(&self, folder: &Path, snapshot: u128) -> Result<()> {
        let text =
            serde_json::to_string(self).map_err(|cause| Error::bug("state not encoded").because(cause))?;
        let text = format!("{}\n{text}", hex(xxh3_128(text.as_bytes())));
        replace("state not written", &path_of(folder, snapshot), text.as_bytes())
    }

    /// The tally.
    pub(crate) fn tally(&self) -> Tally {
        Tally::of_lines(&self.tally)
    }
}

/// The folder of the manifests.
pub(crate) const EPOCHS: &str = "epochs";

/// The file of the state of a snapshot: named by the hash of the snapshot's manifest, so that the one switch that
/// readers see makes both current.
pub(crate) fn path_of(folder: &Path, snapshot: u128) -> PathBuf {
    folder.join(EPOCHS).join(format!("{}.json", hex(snapshot)))
}
