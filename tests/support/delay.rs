//! How long a server on loopback takes.

use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The same delay for every request. Timers of tokio are up to two milliseconds late, a thread that sleeps is not.
#[derive(Clone)]
pub(crate) struct Delay {
    delay: Duration,
    queue: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
}

impl Delay {
    /// `None` for no delay.
    pub(crate) fn of(delay: Duration) -> Option<Self> {
        if delay.is_zero() {
            return None;
        }
        let (queue, waiting) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        // Delays are equal, so the first one in is the first one due.
        std::thread::spawn(move || {
            for (due, done) in waiting {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let _ = done.send(());
            }
        });
        Some(Self { delay, queue })
    }

    /// Runs from now on.
    pub(crate) fn start(&self) -> oneshot::Receiver<()> {
        let (done, passed) = oneshot::channel();
        let _ = self.queue.send((Instant::now() + self.delay, done));
        passed
    }
}
