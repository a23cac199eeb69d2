//! The journal's one writer: a thread that commits what has gathered, at most every 50 ms.
//!
//! **Why**: a commit waits for the disk. Answers gather while the last commit is under way and for the rest of its
//! 50 ms, so the disk sees 20 commits a second whatever the rate; a lone answer is committed at once.

use super::store::REPLIES;
use crate::error::{Error, Result};
use redb::Database;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// From one commit to the next.
const GROUP: Duration = Duration::from_millis(50);

/// A group this large does not wait.
const MOST: usize = 8192;

/// One answer on its way to the disk.
pub(super) struct Item {
    pub(super) key: u128,
    pub(super) value: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// Writes until every sender is gone.
pub(super) fn run(database: &Database, items: &Receiver<Item>) {
    let mut due = Instant::now();
    while let Ok(first) = items.recv() {
        let mut group = vec![first];
        while group.len() < MOST {
            match items.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(item) => group.push(item),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        due = Instant::now() + GROUP;
        let written = commit(database, &group).map_err(Arc::new);
        for item in group {
            // Who went away does not want to know.
            let _ = item.done.send(written.clone().map_err(|cause| {
                Error::unavailable("journal not written, remedy=see that the disk of the state has room")
                    .because(cause.to_string())
            }));
        }
    }
}

fn commit(database: &Database, group: &[Item]) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    // After a kill the journal opens at once, whatever its size.
    write.set_quick_repair(true);
    {
        let mut replies = write.open_table(REPLIES)?;
        for item in group {
            replies.insert(item.key, item.value.as_slice())?;
        }
    }
    Ok(write.commit()?)
}
