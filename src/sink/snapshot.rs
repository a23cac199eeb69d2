//! Publishes a snapshot in one step, keeps a few old ones, and sweeps up what was interrupted.
//!
//! ```text
//! DIR/current -> snapshots/00000007      replaced by one rename: readers see the old rows or the new ones
//! DIR/snapshots/00000007/manifest.json   and README.md, <lang>/*.parquet, _audit/*.parquet (hard links)
//! DIR/state/parts/<lang>/*.parquet       parts by content name, shared by snapshots
//! DIR/state/lock                         held by the one run that may write
//! ```
//! **Why**: a snapshot is complete before its name appears, and `current` moves after that, so a kill at any moment
//! leaves readers what they had. Files keep their content names and are linked, not copied, so an unchanged part
//! costs nothing and keeps its time. A reader that works for long resolves `current` once and has a kept snapshot.

use super::file::{TEMPORARY, away, sync_folder};
use super::manifest::{Manifest, NAME};
use super::names::is_plain;
use crate::error::{Error, Result};
use crate::points::reached;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The link that readers follow.
pub const CURRENT: &str = "current";

/// The folder of the audit, in a snapshot and in the store.
pub const AUDIT: &str = "_audit";

const SNAPSHOTS: &str = "snapshots";
/// The folder of state and journal, in that of the output.
pub const STATE: &str = "state";
const STORE: &str = "parts";
const CARD: &str = "README.md";
/// A snapshot under construction starts with this.
const NEW: &str = ".new-";

/// An output folder that this run alone may write; the lock goes when this goes.
#[derive(Debug)]
pub struct Output {
    folder: PathBuf,
    _lock: Option<File>,
}

/// A file of a snapshot: where it is now, and where it will stand.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// Where it is.
    pub from: PathBuf,
    /// Its folder in the snapshot; empty for the snapshot itself.
    pub folder: &'a str,
    /// Its name there.
    pub name: &'a str,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The snapshot that readers see now.
    pub folder: PathBuf,
    /// Whether it is new; if not, nothing was written.
    pub written: bool,
    /// Old snapshots and parts that no snapshot needs, removed.
    pub collected: usize,
}

impl Output {
    /// Makes the folder if it is missing, locks it, and removes what an interrupted run left.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another run holds the lock or the folder cannot
    /// be written; [`ErrorKind::Config`](crate::ErrorKind::Config) if `current` is not ours.
    pub fn open(folder: &Path) -> Result<Self> {
        let state = folder.join(STATE);
        for made in [&state.join(STORE), &folder.join(SNAPSHOTS)] {
            fs::create_dir_all(made).map_err(|cause| away("folder not made", made, cause))?;
        }
        let path = state.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = file.map_err(|cause| away("lock not made", &path, cause))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::unavailable(format!(
                    "output in use by another run: path={}, remedy=wait for it, stop it, or give another --output",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(cause)) => return Err(away("lock not taken", &path, cause)),
        }
        let output = Self { folder: folder.to_owned(), _lock: Some(lock) };
        output.sweep()?;
        Ok(output)
    }

    /// A folder that the leading process of a run holds.
    pub(crate) fn join(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _lock: None }
    }

    /// The folder that holds it all.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where state and journal live. Deleting it costs time and money, never a published row.
    pub fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    /// Where parts are kept, a folder per lang; the audit's files in [`AUDIT`].
    pub fn store(&self) -> PathBuf {
        self.folder.join(STATE).join(STORE)
    }

    /// The manifest that readers see; `None` before the first snapshot.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        Manifest::load(&self.folder)
    }

    /// Where a file of a manifest is now: in the store, or in the snapshot that readers see. `None` if it was
    /// deleted, and must be made again.
    pub fn find(&self, folder: &str, name: &str) -> Option<PathBuf> {
        let places = [self.store(), self.folder.join(CURRENT)];
        places.iter().map(|place| place.join(folder).join(name)).find(|path| path.is_file())
    }

    /// Makes `manifest` (sealed) and `card` what readers see, in one step; keeps the `keep` snapshots before it. Where
    /// they see just that already, nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it: readers see what they
    /// saw. [`ErrorKind::Bug`](crate::ErrorKind::Bug) if a file of the manifest is nowhere.
    pub fn publish(&self, manifest: &Manifest, card: &str, keep: usize) -> Result<Published> {
        let current = self.folder.join(CURRENT);
        let card_is = fs::read_to_string(current.join(CARD)).is_ok_and(|there| there == card);
        if card_is && self.whole(manifest)? {
            return Ok(Published { folder: current, written: false, collected: self.collect(keep)? });
        }
        let staged = self.stage(manifest, card)?;
        let folder = self.switch(&staged)?;
        Ok(Published { folder, written: true, collected: self.collect(keep)? })
    }

    /// Whether readers see this manifest with all its files.
    fn whole(&self, manifest: &Manifest) -> Result<bool> {
        let there = self.manifest()?.is_some_and(|there| there.same(manifest));
        let current = self.folder.join(CURRENT);
        Ok(there
            && files(manifest).iter().all(|(folder, name, bytes)| {
                fs::metadata(current.join(folder).join(name)).is_ok_and(|meta| meta.len() == *bytes)
            }))
    }

    /// Makes these files what readers see, in one step; keeps the `keep` snapshots before it. One of the `texts` is the
    /// manifest, under its [`NAME`].
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_links(
        &self,
        links: &[Link<'_>],
        texts: &[(&str, &str)],
        keep: usize,
    ) -> Result<Published> {
        let staged = self.stage_links(links, texts)?;
        let folder = self.switch(&staged)?;
        Ok(Published { folder, written: true, collected: self.collect(keep)? })
    }

    /// Lets readers find files and folders of the current snapshot under the output itself, as `DIR/NAME`. The links
    /// lead through `current`, so one switch moves them all; one that leads nowhere any more is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if something else has the name already, and
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder does not take the link.
    pub fn show(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let (link, target) = (self.folder.join(name), Path::new(CURRENT).join(name));
            let there = match fs::read_link(&link) {
                Ok(leads) if leads == target => true,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => false,
                _ => return Err(not_ours(&link)),
            };
            let wanted = self.folder.join(&target).exists();
            if there && !wanted {
                fs::remove_file(&link).map_err(|cause| away("link not removed", &link, cause))?;
            } else if wanted && !there {
                std::os::unix::fs::symlink(&target, &link)
                    .map_err(|cause| away("link not made", &link, cause))?;
            }
        }
        sync_folder(&self.folder)
    }

    /// Builds the snapshot beside the others, unseen; gives back its folder.
    fn stage(&self, manifest: &Manifest, card: &str) -> Result<PathBuf> {
        let links = files(manifest).into_iter().map(|(folder, name, _)| {
            let from = self.find(folder, name).ok_or_else(|| {
                Error::bug(format!("part missing: lang={folder}, name={name}, in={}", self.store().display()))
            })?;
            Ok(Link { from, folder, name })
        });
        self.stage_links(&links.collect::<Result<Vec<_>>>()?, &[(CARD, card), (NAME, &manifest.text()?)])
    }

    fn stage_links(&self, links: &[Link<'_>], texts: &[(&str, &str)]) -> Result<PathBuf> {
        let snapshots = self.folder.join(SNAPSHOTS);
        let number = numbers(&snapshots)?.last().map_or(1, |last| last + 1);
        let staged = snapshots.join(format!("{NEW}{number:08}"));
        fs::create_dir_all(&staged).map_err(|cause| away("folder not made", &staged, cause))?;
        let mut folders = BTreeSet::new();
        for Link { from, folder, name } in links {
            let into = if folder.is_empty() { staged.clone() } else { staged.join(folder) };
            if !folder.is_empty() && folders.insert(into.clone()) {
                fs::create_dir(&into).map_err(|cause| away("folder not made", &into, cause))?;
            }
            bring(from, &into.join(name), |from, to| fs::hard_link(from, to))?;
        }
        for (name, text) in texts {
            write_whole(&staged.join(name), text)?;
        }
        for folder in folders.iter().chain([&staged]) {
            sync_folder(folder)?;
        }
        reached("snapshot staged");
        Ok(staged)
    }

    /// Names the staged snapshot, then lets readers see it.
    fn switch(&self, staged: &Path) -> Result<PathBuf> {
        let name = staged.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_prefix(NEW).unwrap_or(name);
        let folder = self.folder.join(SNAPSHOTS).join(name);
        fs::rename(staged, &folder).map_err(|cause| away("snapshot not named", &folder, cause))?;
        sync_folder(&self.folder.join(SNAPSHOTS))?;
        reached("snapshot named");
        let link = self.folder.join(format!("{CURRENT}{TEMPORARY}"));
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(Path::new(SNAPSHOTS).join(name), &link)
            .map_err(|cause| away("link not made", &link, cause))?;
        let current = self.folder.join(CURRENT);
        fs::rename(&link, &current).map_err(|cause| away("snapshot not published", &current, cause))?;
        sync_folder(&self.folder)?;
        reached("snapshot switched");
        Ok(folder)
    }

    /// The number of the snapshot that readers see.
    fn current(&self) -> Result<Option<u64>> {
        let link = self.folder.join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => {
                Ok(target.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(not_ours(&link).because(cause)),
        }
    }

    /// Removes half snapshots, whole ones that readers never saw, and half files.
    fn sweep(&self) -> Result<()> {
        let snapshots = self.folder.join(SNAPSHOTS);
        let current = self.current()?;
        for name in names(&snapshots)? {
            if name.starts_with(NEW) {
                remove_folder(&snapshots.join(name))?;
            }
        }
        for number in numbers(&snapshots)? {
            let folder = snapshots.join(format!("{number:08}"));
            if current.is_some_and(|current| number > current) || !folder.join(NAME).is_file() {
                remove_folder(&folder)?;
            }
        }
        for (path, name) in self.stored()? {
            if name.ends_with(TEMPORARY) {
                fs::remove_file(&path).map_err(|cause| away("file not removed", &path, cause))?;
            }
        }
        Ok(())
    }

    /// Removes snapshots before the last `keep` old ones, and stored files that no snapshot has.
    fn collect(&self, keep: usize) -> Result<usize> {
        let snapshots = self.folder.join(SNAPSHOTS);
        let mut held = numbers(&snapshots)?;
        let old = held.len().saturating_sub(keep + 1);
        let mut collected = old;
        for number in held.drain(..old) {
            let folder = snapshots.join(format!("{number:08}"));
            // Without its manifest it is no snapshot, so a kill in the middle leaves nothing half.
            fs::remove_file(folder.join(NAME)).map_err(|cause| away("file not removed", &folder, cause))?;
            remove_folder(&folder)?;
        }
        let mut needed = BTreeSet::new();
        // By what lies there, so that a manifest of another version does not cost a part.
        for number in held {
            let snapshot = snapshots.join(format!("{number:08}"));
            for folder in names(&snapshot)?.into_iter().filter(|name| snapshot.join(name).is_dir()) {
                needed.extend(names(&snapshot.join(&folder))?.into_iter().map(|name| (folder.clone(), name)));
            }
        }
        for (path, name) in self.stored()? {
            let folder =
                path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
            if !needed.contains(&(folder.to_owned(), name)) {
                fs::remove_file(&path).map_err(|cause| away("file not removed", &path, cause))?;
                collected += 1;
            }
        }
        Ok(collected)
    }

    /// Every file of the store, with its name.
    fn stored(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut stored = Vec::new();
        let store = self.store();
        for folder in names(&store)? {
            let folder = store.join(folder);
            if folder.is_dir() {
                stored.extend(names(&folder)?.into_iter().map(|name| (folder.join(&name), name)));
            }
        }
        Ok(stored)
    }
}

fn not_ours(link: &Path) -> Error {
    Error::config(format!(
        "no link of ours: path={}, remedy=move it away, or give another --output",
        link.display()
    ))
}

/// Folder, name and size of every file of a manifest. What is not a name of ours is left out.
fn files(manifest: &Manifest) -> Vec<(&str, &str, u64)> {
    let parts = manifest.parts.iter().filter(|part| part.rows > 0);
    let parts = parts.map(|part| (part.lang.tag(), part.name.as_str(), part.bytes));
    let audit = manifest.audit.iter().map(|file| (AUDIT, file.name.as_str(), file.bytes));
    parts.chain(audit).filter(|(_, name, _)| is_plain(name)).collect()
}

/// The numbers of the snapshots, ascending.
fn numbers(snapshots: &Path) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> = names(snapshots)?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let unreadable = |cause| away("folder unreadable", folder, cause);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Links a file, or copies it where links are not to be had.
fn bring(from: &Path, to: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> Result<()> {
    // A link to what stands in `current` must be one to the file, whatever snapshot `current` is.
    let from = fs::canonicalize(from).map_err(|cause| away("part not found", from, cause))?;
    if link(&from, to).is_ok() {
        return Ok(());
    }
    let copied = fs::copy(&from, to).and_then(|_| File::open(to)?.sync_all());
    copied.map_err(|cause| away("part not copied", to, cause))
}

fn write_whole(path: &Path, text: &str) -> Result<()> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|cause| away("file not written", path, cause))
}

fn remove_folder(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|cause| away("folder not removed", folder, cause))
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
