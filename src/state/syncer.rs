//! Brings files to the disk while the run goes on.
//!
//! **Why**: a disk takes milliseconds to say that it has a file, often with every core idle, and nobody needs to know before
//! the state names that file. So the work is queued here, and the commit waits for all of it.

use crate::error::Result;
use crate::workers::joined;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

type Work = Box<dyn FnOnce() -> Result<()> + Send>;

/// A thread for it, started when there is work. It ends with the first error.
#[derive(Debug, Default)]
pub(crate) struct Syncer(Mutex<State>);

#[derive(Default)]
struct State {
    thread: Option<(Sender<Work>, JoinHandle<Result<()>>)>,
    /// What no thread could be started for.
    left: Vec<Work>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("running", &self.thread.is_some()).finish_non_exhaustive()
    }
}

impl Syncer {
    /// Queues work; it is done in this order.
    pub(crate) fn later(&self, work: impl FnOnce() -> Result<()> + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.thread.is_none() {
            let (queue, works) = channel::<Work>();
            let body = move || works.into_iter().try_for_each(|work| work());
            let started = std::thread::Builder::new().name("sync".to_owned()).spawn(body);
            state.thread = started.ok().map(|thread| (queue, thread));
        }
        match &state.thread {
            // A thread that ended says why when it is waited for.
            Some((queue, _)) => _ = queue.send(Box::new(work)),
            None => state.left.push(Box::new(work)),
        }
    }

    /// Waits until all of it is done.
    ///
    /// # Errors
    /// The first one of the work.
    pub(crate) fn finish(&self) -> Result<()> {
        let State { thread, left } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((queue, thread)) = thread {
            drop(queue);
            joined("sync", thread.join())??;
        }
        left.into_iter().try_for_each(|work| work())
    }
}

impl Drop for Syncer {
    /// Who gives a state up must not leave a thread that works on its files.
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::debug!(%error, "state given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn work_is_done_in_order_and_its_first_error_is_told() {
        let (syncer, done) = (Syncer::default(), Arc::new(AtomicUsize::new(0)));
        let next = |at: usize| {
            let done = Arc::clone(&done);
            move || {
                assert_eq!(done.swap(at + 1, Ordering::SeqCst), at);
                if at == 2 { Err(crate::error::Error::unavailable("disk full")) } else { Ok(()) }
            }
        };
        (0..2).for_each(|at| syncer.later(next(at)));
        syncer.finish().expect("done");
        assert_eq!(done.load(Ordering::SeqCst), 2);
        (2..4).for_each(|at| syncer.later(next(at)));
        let told = syncer.finish().expect_err("failed").to_string();
        assert!(told.contains("disk full"), "{told}");
        assert_eq!(done.load(Ordering::SeqCst), 3, "nothing is done after an error");
        syncer.finish().expect("told once");
    }
}
