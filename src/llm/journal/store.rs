//! The journal's files: one redb table and the log in front of it, readers beside one writer.

use super::entry::Entry;
use super::flights::Flights;
use super::log::Log;
use super::writer::{Queue, recover};
use crate::error::{Error, Result};
use crate::sink::file::away;
use crate::telemetry::Clock;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

pub(super) const REPLIES: TableDefinition<'static, u128, &'static [u8]> = TableDefinition::new("replies-1");

/// What the journal keeps beside replies.
pub(super) const ABOUT: TableDefinition<'static, &'static str, u64> = TableDefinition::new("about-1");
pub(super) const SECRET: &str = "secret";

/// A number that nobody can guess: the standard library keys its hashers from the system's random source.
pub(crate) fn drawn() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Pages of the file kept in memory, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Answers by key. One per process and state: the file is locked.
pub struct Journal {
    database: Arc<Database>,
    place: String,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    clock: Arc<dyn Clock>,
    flights: Arc<Flights>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Journal {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another process has it open or the disk fails,
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is no journal.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let place = path.display().to_string();
        // redb trusts a file that it closed itself, and may panic on one that was damaged since.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create(path)
                .map_err(redb::Error::from)
                .and_then(prepared)
        }));
        match opened {
            Ok(Ok(database)) => {
                // The table's lock is held from here on, so the log is this process's as well.
                let (mut log, records) = Log::open(path).map_err(|cause| told(&place, cause.into()))?;
                if !records.is_empty() {
                    tracing::debug!(records = records.len(), "answers of a process that was killed");
                    recover(&database, &records).map_err(|error| told(&place, error))?;
                }
                log.reset().map_err(|cause| told(&place, cause.into()))?;
                Self::over(database, Some(log), place, clock)
            }
            Ok(Err(error)) => Err(told(&place, error)),
            Err(_) => Err(corrupt(&place)),
        }
    }

    /// A journal that is gone with the process: for tests.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be made.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let place = "memory".to_owned();
        match Builder::new()
            .create_with_backend(InMemoryBackend::new())
            .map_err(redb::Error::from)
            .and_then(prepared)
        {
            Ok(database) => Self::over(database, None, place, clock),
            Err(cause) => Err(Error::bug("journal in memory not made").because(cause)),
        }
    }

    fn over(database: Database, log: Option<Log>, place: String, clock: Arc<dyn Clock>) -> Result<Self> {
        let (database, queue) = (Arc::new(database), Arc::new(Queue::new(log)));
        let (shared, inbox) = (Arc::clone(&database), Arc::clone(&queue));
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || inbox.write(&shared))
            .map_err(|cause| Error::unavailable("thread of the journal not started").because(cause))?;
        Ok(Self {
            database,
            place,
            queue,
            writer: Some(writer),
            clock,
            flights: Arc::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// The answer under a key. Never waits for a commit. What cannot be read back counts as absent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file is damaged,
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk fails.
    pub fn get(&self, key: u128) -> Result<Option<Entry>> {
        let read = catch_unwind(AssertUnwindSafe(|| -> Result<Option<Entry>, redb::Error> {
            if let Some(value) = self.queue.get(key) {
                return Ok(Entry::from_bytes(&value));
            }
            let replies = self.database.begin_read()?.open_table(REPLIES)?;
            Ok(replies.get_owned(key)?.and_then(|value| Entry::from_bytes(value.value())))
        }));
        let entry = match read {
            Ok(Ok(entry)) => entry,
            Ok(Err(error)) => return Err(told(&self.place, error)),
            Err(_) => return Err(corrupt(&self.place)),
        };
        let count = if entry.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(entry)
    }

    /// Keeps an answer: it outlives the process from here on, and the machine after at most 50 ms more.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it could not be written: the run must stop.
    pub fn put(&self, key: u128, entry: &Entry) -> Result<()> {
        self.queue.put(key, entry.to_bytes()?)
    }

    /// Waits until all that was put would outlive the machine: before rows that were made of it are published.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn sync(&self) -> Result<()> {
        self.queue.sync()
    }

    /// The secret of the state: keys the fences of prompts, so that corpus text cannot know them. Drawn once, and
    /// kept here, so that equal texts give equal prompts for as long as the answers last.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn secret(&self) -> Result<u64> {
        let kept = || -> Result<u64, redb::Error> {
            let write = self.database.begin_write()?;
            let secret = {
                let mut about = write.open_table(ABOUT)?;
                let there = about.get(SECRET)?.map(|value| value.value());
                if let Some(secret) = there {
                    secret
                } else {
                    let drawn = drawn();
                    about.insert(SECRET, drawn)?;
                    drawn
                }
            };
            write.commit()?;
            Ok(secret)
        };
        kept().map_err(|error| told(&self.place, error))
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Where it is, for errors.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The time that entries carry.
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// Equal asks in flight.
    pub fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// Answers found and not found so far.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// How many answers it holds.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64> {
        self.sync()?;
        let count =
            || -> Result<u64, redb::Error> { Ok(self.database.begin_read()?.open_table(REPLIES)?.len()?) };
        count().map_err(|error| told(&self.place, error))
    }

    /// Whether it holds none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // Commits what it has; what it could not commit stays in the log.
            let _ = writer.join();
        }
    }
}

/// The table exists from here on, so readers need not ask.
fn prepared(database: Database) -> Result<Database, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(REPLIES)?;
    write.commit()?;
    Ok(database)
}

pub(super) fn told(place: &str, error: redb::Error) -> Error {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::unavailable(format!(
            "journal in use by another process: path={place}, remedy=wait for the other run, or choose another output"
        )),
        redb::Error::Io(cause) if cause.kind() != std::io::ErrorKind::InvalidData => {
            away("journal not reached", Path::new(place), cause)
        }
        other => corrupt(place).because(other),
    }
}

fn corrupt(place: &str) -> Error {
    Error::config(format!(
        "file is no journal or is damaged: path={place}, remedy=restore it from a copy, or move it away and pay its \
         answers again"
    ))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
