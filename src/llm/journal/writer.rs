//! The journal's one writer: a thread that commits what has gathered, at most every 50 ms.
//!
//! **Why**: a commit waits for the disk. Answers gather while the last commit is under way and for the rest of its
//! 50 ms, so the disk sees 20 commits a second whatever the rate. Nobody waits for a commit but who publishes rows:
//! until it is through, the answers stand in the log and in memory.

use super::log::{Log, Record};
use super::store::REPLIES;
use crate::error::{Error, Result};
use redb::Database;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// From one commit to the next.
const GROUP: Duration = Duration::from_millis(50);

/// A group this large does not wait.
const MOST: usize = 8192;

/// Answers on their way to the disk.
pub(super) struct Queue {
    state: Mutex<State>,
    turned: Condvar,
}

struct State {
    /// `None` for a journal in memory.
    log: Option<Log>,
    fresh: Vec<(u128, Arc<[u8]>)>,
    /// All that is not in the table yet.
    unseen: BTreeMap<u128, Arc<[u8]>>,
    put: u64,
    committed: u64,
    /// Somebody waits: the next commit does not.
    hurry: bool,
    closed: bool,
    failed: Option<String>,
}

impl Queue {
    pub(super) fn new(log: Option<Log>) -> Self {
        let (fresh, unseen) = (Vec::new(), BTreeMap::new());
        let state =
            State { log, fresh, unseen, put: 0, committed: 0, hurry: false, closed: false, failed: None };
        Self { state: Mutex::new(state), turned: Condvar::new() }
    }

    /// Writes an answer to the log; from here on it outlives the process.
    pub(super) fn put(&self, key: u128, value: Vec<u8>) -> Result<()> {
        let mut state = self.state();
        state.sound()?;
        if let Some(log) = &mut state.log {
            log.append(key, &value).map_err(|cause| unwritten().because(cause))?;
        }
        let value: Arc<[u8]> = value.into();
        state.fresh.push((key, Arc::clone(&value)));
        state.unseen.insert(key, value);
        state.put += 1;
        // In between, the writer gathers and wants no waking.
        let turns = matches!(state.fresh.len(), 1 | MOST);
        drop(state);
        if turns {
            self.turned.notify_all();
        }
        Ok(())
    }

    /// An answer that is not in the table yet.
    pub(super) fn get(&self, key: u128) -> Option<Arc<[u8]>> {
        self.state().unseen.get(&key).map(Arc::clone)
    }

    /// Waits until all that was put is in the table, on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let mut state = self.state();
        let put = state.put;
        while state.committed < put {
            state.sound()?;
            state.hurry = true;
            self.turned.notify_all();
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sound()
    }

    /// Lets the writer end when everything is committed.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.turned.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits until the queue is closed, or a commit fails: then the answers stay in the log for the next process.
    pub(super) fn write(&self, database: &Database) {
        while let Some((group, which)) = self.group() {
            let written = commit(database, group.iter().map(|(key, value)| (*key, value.as_ref())));
            let mut state = self.state();
            let done = written.map_err(|cause| cause.to_string()).and_then(|()| {
                state.log.as_mut().map_or(Ok(()), |log| log.clear(which)).map_err(|cause| cause.to_string())
            });
            match done {
                Ok(()) => {
                    for (key, value) in &group {
                        if state.unseen.get(key).is_some_and(|other| Arc::ptr_eq(other, value)) {
                            state.unseen.remove(key);
                        }
                    }
                    state.committed += group.len() as u64;
                }
                Err(cause) => state.failed = Some(cause),
            }
            let failed = state.failed.is_some();
            drop(state);
            self.turned.notify_all();
            if failed {
                return;
            }
        }
    }

    /// The next group and the file of the log that holds it; none once the queue is closed and empty.
    fn group(&self) -> Option<(Vec<(u128, Arc<[u8]>)>, usize)> {
        let mut state = self.state();
        while state.fresh.is_empty() {
            if state.closed {
                return None;
            }
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let due = Instant::now() + GROUP;
        while !state.closed && !state.hurry && state.fresh.len() < MOST {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.turned.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.hurry = false;
        let which = state.log.as_mut().map_or(0, Log::turn);
        Some((std::mem::take(&mut state.fresh), which))
    }
}

impl State {
    fn sound(&self) -> Result<()> {
        self.failed.as_ref().map_or(Ok(()), |cause| Err(unwritten().because(cause.clone())))
    }
}

fn unwritten() -> Error {
    Error::unavailable("journal not written, remedy=see that the disk of the state has room, then run again")
}

/// Puts into the table what a killed process left in the log.
pub(super) fn recover(database: &Database, records: &[Record]) -> Result<(), redb::Error> {
    commit(database, records.iter().map(|(key, value)| (*key, value.as_slice())))
}

fn commit<'a>(database: &Database, group: impl Iterator<Item = (u128, &'a [u8])>) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    // After a kill the journal opens at once, whatever its size.
    write.set_quick_repair(true);
    {
        let mut replies = write.open_table(REPLIES)?;
        for (key, value) in group {
            replies.insert(key, value)?;
        }
    }
    Ok(write.commit()?)
}
