//! A thread that works ahead of an operator by a bounded number of items.
//!
//! **Why**: decoding takes as long as the work on what was decoded, so the next batch is made while this one is
//! worked on. The channel is bounded, so the thread waits instead of piling text up.

use crate::error::{Error, Result};
use crate::stop::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use timely::scheduling::SyncActivator;

/// Items in the channel of [`Prefetch::start`]; one more is in the making. They are large.
const AHEAD: usize = 2;

/// What a look into the channel finds.
pub(crate) enum Ahead<T> {
    /// The next item.
    Ready(T),
    /// Nothing yet: the operator will be woken.
    Pending,
    /// No item will follow.
    Ended,
}

/// The thread's other end. Dropping it ends the thread.
pub(crate) struct Prefetch<T> {
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts the thread. An error or a panic raises `stop`; `wake` is called after every item and at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the system has no thread left.
    pub(crate) fn start<I>(name: &str, items: I, stop: &Stop, wake: SyncActivator) -> Result<Self>
    where
        I: Iterator<Item = Result<T>> + Send + 'static,
    {
        Self::work(name, AHEAD, stop, wake, move |give| {
            for item in items {
                give(item?)?;
            }
            Ok(())
        })
    }

    /// As [`start`](Self::start), for work that gives items away as it goes, `ahead` of which wait. Giving fails once nobody
    /// wants more.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the system has no thread left.
    pub(crate) fn work<W>(name: &str, ahead: usize, stop: &Stop, wake: SyncActivator, work: W) -> Result<Self>
    where
        W: FnOnce(&mut dyn FnMut(T) -> Result<()>) -> Result<()> + Send + 'static,
    {
        let (sender, receiver) = sync_channel(ahead);
        let (stop, named) = (stop.clone(), name.to_owned());
        let body = move || {
            let mut gone = false;
            let ended = catch_unwind(AssertUnwindSafe(|| {
                work(&mut |item| {
                    gone = stop.is_raised() || sender.send(item).is_err() || wake.activate().is_err();
                    if gone { Err(Error::bug("nobody takes what a thread makes")) } else { Ok(()) }
                })
            }));
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(_)) if gone => {}
                Ok(Err(error)) => stop.raise(error),
                Err(panic) => {
                    stop.raise(crate::workers::panicked(&named, &*panic));
                }
            }
            drop(sender);
            // The worker may be gone already: then nobody waits.
            let _ = wake.activate();
        };
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|cause| Error::unavailable(format!("thread not started: name={name}")).because(cause))?;
        Ok(Self { receiver: Some(receiver), thread: Some(thread) })
    }

    /// Takes the next item if it is there.
    pub(crate) fn poll(&self) -> Ahead<T> {
        match self.receiver.as_ref().map(Receiver::try_recv) {
            Some(Ok(item)) => Ahead::Ready(item),
            Some(Err(TryRecvError::Empty)) => Ahead::Pending,
            Some(Err(TryRecvError::Disconnected)) | None => Ahead::Ended,
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // Closes the channel, so that a waiting thread ends; then it is joined, so that no file stays open.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
