//! Looking at a state as a whole, for people.

use super::artefact::Artefact;
use super::damage::damaged;
use super::manifest::StateManifest;
use super::store::{ARTEFACTS, Store};
use crate::error::Result;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What was read and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Tables.
    pub tables: usize,
    /// Artefacts.
    pub artefacts: usize,
    /// Rows of runs and artefacts.
    pub rows: u64,
    /// Bytes of runs.
    pub bytes: u64,
}

/// Tells what a state holds.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is damaged.
pub fn show(folder: &Path, snapshot: u128) -> Result<String> {
    let Some(held) = StateManifest::load(folder, snapshot)? else {
        return Ok("no state belongs to the snapshot: the next run builds it".to_owned());
    };
    let mut text = format!("format {}, commit {}, shards {}\n", held.format, held.serial, held.shards.len());
    let _ = writeln!(text, "{:<26} {:>6} {:>14} {:>16}", "table", "runs", "rows", "bytes");
    let mut sum = 0;
    for (table, runs) in &held.tables {
        let (rows, bytes) =
            runs.iter().fold((0, 0), |(rows, bytes), run| (rows + run.rows, bytes + run.bytes()));
        sum += bytes;
        let _ = writeln!(text, "{table:<26} {:>6} {rows:>14} {bytes:>16}", runs.len());
    }
    let artefacts = held.shards.iter().map(|shard| folder.join(ARTEFACTS).join(&shard.artefact));
    let bytes: u64 = artefacts.filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len()).sum();
    let _ = writeln!(text, "{:<26} {:>6} {:>14} {bytes:>16}", "artefacts", held.shards.len(), "");
    let _ = write!(text, "{:<26} {:>6} {:>14} {:>16}", "all", "", "", sum + bytes);
    Ok(text)
}

/// Reads all of a state and checks it.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) that names what is damaged, with the remedy.
pub fn verify(folder: &Path, snapshot: u128) -> Result<Verified> {
    let tables = Store::verify(folder, snapshot)?;
    let held = StateManifest::load(folder, snapshot)?.unwrap_or_default();
    let (mut rows, mut bytes) = (0, 0);
    for (of_table, bytes_of_table) in tables.values() {
        rows += of_table;
        bytes += bytes_of_table;
    }
    for shard in &held.shards {
        let path = folder.join(ARTEFACTS).join(&shard.artefact);
        let artefact = Artefact::open(&path)?.ok_or_else(|| damaged(&path, "artefact missing"))?;
        artefact.verify()?;
        rows += artefact.rows();
    }
    Ok(Verified { tables: tables.len(), artefacts: held.shards.len(), rows, bytes })
}

/// Makes one run of each table; gives back the bytes before and after.
///
/// # Errors
/// Damage, or a disk that fails or is full: the state before stands.
pub fn compact(folder: &Path, snapshot: u128) -> Result<(u64, u64)> {
    Store::compact(folder, snapshot)
}

/// Removes what the state of a snapshot does not need; gives back how many files went.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder cannot be read or changed.
pub fn collect(folder: &Path, snapshot: u128) -> Result<usize> {
    Store::collect(folder, snapshot)
}
