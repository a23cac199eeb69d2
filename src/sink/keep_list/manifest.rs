//! The manifest of the lists: what they were made from and what they hold.

use super::members::Counts;
use crate::error::{Error, Result};
use crate::sink::file::{Stored, away};
use crate::sink::manifest::{NAME, ShardEntry};
use crate::sink::names::hash;
use crate::sink::snapshot::{CURRENT, Link, Output, Published};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// One file of the lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Its folder below the output; empty for the output itself.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Its name in the store, while it is on its way.
    #[serde(skip)]
    pub stored: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// 128-bit xxh3 of its bytes.
    #[serde(with = "hash")]
    pub hash: u128,
    /// What a file of kept rows was made from: 128-bit xxh3 of settings, shard, digest and the rows that go. 0 for lists.
    #[serde(with = "hash", default)]
    pub made_from: u128,
}

impl ListFile {
    /// A list of this name.
    pub(super) fn list(name: &str, stored: Stored, rows: u64) -> Self {
        let Stored { name: in_store, bytes, hash } = stored;
        Self {
            folder: String::new(),
            name: name.to_owned(),
            stored: in_store,
            rows,
            bytes,
            hash,
            made_from: 0,
        }
    }
}

/// The lists that readers see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepList {
    /// [`KeepList::KIND`].
    pub kind: String,
    /// [`KeepList::FORMAT`].
    pub format: u32,
    /// Fingerprint of the settings that can change a list.
    #[serde(with = "hash")]
    pub fingerprint: u128,
    /// 128-bit xxh3 over the names and hashes of the files, in order.
    #[serde(with = "hash")]
    pub digest: u128,
    /// What they were made from, by key.
    pub shards: Vec<ShardEntry>,
    /// The files.
    pub files: Vec<ListFile>,
    /// What became of the rows.
    pub counts: Counts,
}

impl KeepList {
    /// Tells this manifest from that of a run.
    pub const KIND: &str = "dedup";
    /// Version of its form and of the columns of the lists.
    pub const FORMAT: u32 = 1;
    /// Folder of the kept rows.
    pub const ROWS: &str = "rows";
    /// Folder of the store where lists wait to be published.
    pub(super) const STORE: &str = "lists";
    /// What stands in the output itself.
    pub const NAMES: &[&str] = &["kept.parquet", "clusters.parquet", "pairs.parquet", Self::ROWS, NAME];

    /// The lists that readers of an output see; `None` where nothing was published yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the manifest cannot be read, and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if another command or version wrote it.
    pub fn load(output: &Path) -> Result<Option<Self>> {
        let path = output.join(CURRENT).join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(away("manifest unreadable", &path, cause)),
        };
        let unfit = || {
            Error::config(format!(
                "output of another command or version: path={}, kind={}, format={}, remedy=give another --output",
                path.display(),
                Self::KIND,
                Self::FORMAT
            ))
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(list) if list.kind == Self::KIND && list.format == Self::FORMAT => Ok(Some(list)),
            Ok(_) => Err(unfit()),
            Err(cause) => Err(unfit().because(cause)),
        }
    }

    /// The manifest as it is written.
    fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|cause| Error::bug("manifest not encoded").because(cause))
    }

    /// What the state of these lists is named after: 128-bit xxh3 of the manifest, without the times of shards.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be written as JSON.
    pub fn state_name(&self) -> Result<u128> {
        let mut list = self.clone();
        list.shards.iter_mut().for_each(|shard| shard.modified_ns = 0);
        Ok(xxhash_rust::xxh3::xxh3_128(list.text()?.as_bytes()))
    }

    /// Whether readers of an output find every file, of the right size.
    pub fn is_whole(&self, output: &Path) -> bool {
        let current = output.join(CURRENT);
        self.files.iter().all(|file| {
            let path = current.join(&file.folder).join(&file.name);
            fs::metadata(path).is_ok_and(|meta| meta.len() == file.bytes)
        })
    }

    /// Makes the lists what readers see, in one step; keeps the `keep` snapshots before them.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it: readers see what they saw.
    pub fn publish(&self, output: &Output, keep: usize) -> Result<Published> {
        let text = self.text()?;
        let store = output.store();
        let link = |file: &'_ ListFile| {
            let folder = if file.folder.is_empty() { Self::STORE } else { &file.folder };
            store.join(folder).join(&file.stored)
        };
        let links: Vec<Link<'_>> = self
            .files
            .iter()
            .map(|file| Link { from: link(file), folder: &file.folder, name: &file.name })
            .collect();
        let published = output.publish_links(&links, &[(NAME, &(text + "\n"))], keep)?;
        output.show(Self::NAMES)?;
        Ok(published)
    }
}
