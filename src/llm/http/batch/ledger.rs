//! What is noted of batches: a file for each, beside what was collected of it.
//!
//! **Why**: a batch is paid for once it is submitted, so it must be known after a crash. It is noted before it is submitted, by a
//! tag that the provider keeps with it; its lines are named by the keys of the journal, so that what was collected is thrown
//! away once the journal has it.

use super::lines::{self, Spot};
use crate::error::{Error, ErrorKind, Result};
use crate::llm::journal::Journal;
use crate::sink::file::{TEMPORARY, away, replace, unfinished};
use crate::sink::names::hash;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The folder in the state.
const FOLDER: &str = "batches";
/// The form of a note.
const FORM: u32 = 1;
/// Largest collected line that is looked at by [`tidy`], bytes.
const MOST_LINE: u64 = 64 << 20;

/// A batch, as it is noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    form: u32,
    /// Under which the provider keeps it, too.
    pub(super) tag: String,
    /// Address and model: whose batch it is.
    pub(super) of: String,
    /// Its name at the provider; none until it is known to be submitted.
    pub(super) id: Option<String>,
    /// Whether all that it answered is collected.
    pub(super) collected: bool,
    /// Its lines, by the keys of the journal.
    pub(super) keys: Vec<Key>,
}

/// A key of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Key(#[serde(with = "hash")] pub(super) u128);

impl Note {
    pub(super) fn new(tag: String, of: &str, keys: Vec<Key>) -> Self {
        Self { form: FORM, tag, of: of.to_owned(), id: None, collected: false, keys }
    }
}

/// The folder of them.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    /// Held by whoever changes the folder.
    hands: Mutex<Hands>,
}

/// What this process does to the folder.
#[derive(Debug, Default)]
struct Hands {
    /// Whether it may not any more.
    off: bool,
    /// Files that it began.
    begun: BTreeSet<PathBuf>,
}

impl Ledger {
    pub(super) fn of(state: &Path) -> Self {
        Self { folder: state.join(FOLDER), hands: Mutex::default() }
    }

    /// Changes nothing from here on, whoever still tries: the state may be another run's now. Files that were begun go.
    pub(super) fn close(&self) {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        hands.off = true;
        for path in std::mem::take(&mut hands.begun) {
            if let Err(cause) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %cause, "unfinished file left behind");
            }
        }
    }

    fn hands(&self) -> Result<MutexGuard<'_, Hands>> {
        let hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        if hands.off {
            return Err(Error::new(ErrorKind::Interrupted, "batch let go: the run that followed it is over"));
        }
        Ok(hands)
    }

    /// Where a batch is noted.
    pub(super) fn note(&self, tag: &str) -> PathBuf {
        self.folder.join(format!("{tag}.json"))
    }

    fn lines(&self, tag: &str) -> PathBuf {
        self.folder.join(format!("{tag}.jsonl"))
    }

    /// Notes a batch, for good once it returns.
    pub(super) fn put(&self, note: &Note) -> Result<()> {
        let _hands = self.hands()?;
        self.put_down(note)
    }

    fn put_down(&self, note: &Note) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(|cause| away("folder not made", &self.folder, cause))?;
        let text = serde_json::to_vec(note)
            .map_err(|cause| Error::bug("note not written as JSON").because(cause))?;
        replace("batch not noted", &self.note(&note.tag), &text)
    }

    /// Forgets a batch.
    pub(super) fn remove(&self, tag: &str) -> Result<()> {
        let _hands = self.hands()?;
        for path in [self.note(tag), self.lines(tag)] {
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    return Err(away("note of a batch not removed", &path, cause));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All notes, in the order of their tags.
    ///
    /// # Errors
    /// A note that is damaged: what it stands for may be paid for.
    pub(super) fn all(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for path in self.files()? {
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let bytes = fs::read(&path).map_err(|cause| away("note of a batch unreadable", &path, cause))?;
            let note: Option<Note> = serde_json::from_slice(&bytes).ok();
            let note = note.filter(|note| note.form == FORM && path == self.note(&note.tag));
            notes.push(note.ok_or_else(|| {
                Error::config(format!(
                    "note of a batch damaged: path={}, remedy=see at the provider which batches are open, then delete it: \
                     what it was submitted for is paid again",
                    path.display()
                ))
            })?);
        }
        notes.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(notes)
    }

    /// An empty file for what is collected of a batch; not under its name yet.
    pub(super) fn begin(&self, tag: &str) -> Result<PathBuf> {
        /// No two of a process have one name, even for the same batch: who was let go may still write for a moment.
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        let serial = BEGUN.fetch_add(1, Ordering::Relaxed);
        let mut hands = self.hands()?;
        let path = self.folder.join(format!("{tag}.lines-{serial}{}", unfinished()));
        File::create(&path).map_err(|cause| away("file not made", &path, cause))?;
        hands.begun.insert(path.clone());
        Ok(path)
    }

    /// Removes files that are not whole, of other processes: the state has one writer.
    fn sweep(&self) -> Result<()> {
        for path in self.files()? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(TEMPORARY) && !name.ends_with(unfinished()) {
                fs::remove_file(&path).map_err(|cause| away("unfinished file not removed", &path, cause))?;
            }
        }
        Ok(())
    }

    /// The paths of all that lies in the folder.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |cause| away("folder unreadable", &self.folder, cause);
        match fs::read_dir(&self.folder) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let paths = entries.map_err(unreadable)?.map(|entry| entry.map(|entry| entry.path()));
                paths.collect::<Result<_, _>>().map_err(unreadable)
            }
        }
    }

    /// Gives it its name, for good, and notes that the batch is collected.
    pub(super) fn finish(&self, note: &mut Note, collected: &Path) -> Result<()> {
        let path = self.lines(&note.tag);
        let mut hands = self.hands()?;
        let named = File::open(collected).and_then(|file| file.sync_all());
        let named = named.and_then(|()| fs::rename(collected, &path));
        named.map_err(|cause| away("collected lines not written", &path, cause))?;
        hands.begun.remove(collected);
        note.collected = true;
        self.put_down(note)
    }

    /// Where the lines of a collected batch lie; the first of each key, and only keys that it has.
    pub(super) fn spots(&self, note: &Note, most: u64) -> Result<BTreeMap<u128, Spot>> {
        let path = self.lines(&note.tag);
        let unreadable = |cause| away("collected lines unreadable", &path, cause);
        let file = File::open(&path).map_err(unreadable)?;
        let wanted: BTreeSet<u128> = note.keys.iter().map(|key| key.0).collect();
        let mut spots = BTreeMap::new();
        let mut other = 0;
        let strange = lines::find(BufReader::new(file), most, |key, spot| {
            if wanted.contains(&key) {
                spots.entry(key).or_insert(spot);
            } else {
                other += 1;
            }
        });
        let strange: u64 = strange.map_err(unreadable)? + other;
        if strange > 0 {
            tracing::warn!(tag = note.tag, lines = strange, "lines of a batch that nobody asked for");
        }
        Ok(spots)
    }

    /// A collected line; one longer than `most` bytes is cut off behind them.
    pub(super) fn line(&self, tag: &str, spot: Spot, most: u64) -> Result<Vec<u8>> {
        let path = self.lines(tag);
        let mut line = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(spot.at))?;
            file.take(spot.bytes.min(most)).read_to_end(&mut line)
        });
        read.map_err(|cause| away("collected lines unreadable", &path, cause))?;
        Ok(line)
    }
}

/// Removes what was collected of batches whose answers the journal has, all of them, and what a killed run left unfinished.
///
/// # Errors
/// As [`Journal::get`]; a note that is damaged.
pub fn tidy(state: &Path, journal: &Journal) -> Result<()> {
    let ledger = Ledger::of(state);
    ledger.sweep()?;
    for note in ledger.all()?.into_iter().filter(|note| note.collected) {
        let mut needed = false;
        for (key, spot) in ledger.spots(&note, MOST_LINE)? {
            if journal.get(key)?.is_none() && lines::is_paid(&ledger.line(&note.tag, spot, MOST_LINE)?) {
                needed = true;
                break;
            }
        }
        if !needed {
            ledger.remove(&note.tag)?;
        }
    }
    Ok(())
}
