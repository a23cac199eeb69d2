//! Threads that models work on, apart from the workers of the dataflow and from the asynchronous runtime.
//!
//! **Why**: a model works for seconds without a pause. One ask has one thread, so its answer depends on
//! nothing beside it, and many asks use all of them. A panic in an ask costs that ask alone.

use crate::error::{Error, Result};
use crate::llm::{Refusal, Reply};
use crate::model::Reason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;
/// What an ask comes back with.
pub(super) type Outcome = Result<Reply, Refusal>;

/// A fixed number of threads; they end when it is dropped and their last job is done.
pub(super) struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    /// Starts `threads` threads, at least one.
    pub(super) fn start(threads: usize) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("model-{i}"))
                .spawn(move || work(&queue))
                .map_err(|cause| Error::unavailable("thread not started for models").because(cause))?;
        }
        Ok(Self { jobs })
    }

    /// Does `ask` on a thread, unless nobody waits for it any more when its turn comes.
    pub(super) async fn run(&self, ask: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                let outcome = catch_unwind(AssertUnwindSafe(ask));
                let broke = || Err(Refusal::Rejected(Reason::Rejected, "the model broke on this ask".into()));
                let _ = answer.send(outcome.unwrap_or_else(|_| broke()));
            }
        };
        let gone = || Refusal::Transient(Reason::GaveUp, "no thread for models".into());
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Answer, Usage};

    #[expect(clippy::unnecessary_wraps, reason = "what an ask comes back with")]
    fn reply(text: &str) -> Outcome {
        Ok(Reply { answer: Answer::Text(text.into()), usage: Usage::default() })
    }

    #[tokio::test]
    async fn a_panic_costs_one_ask_and_no_thread() {
        let pool = Pool::start(1).expect("starts");
        for _ in 0..3 {
            let broken = pool.run(|| panic!("as a test")).await;
            assert!(matches!(broken, Err(Refusal::Rejected(..))));
        }
        assert_eq!(pool.run(|| reply("well")).await.expect("answers").answer, Answer::Text("well".into()));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_done() {
        let pool = Pool::start(1).expect("starts");
        let (open, gate) = channel::<()>();
        let first = pool.run(move || {
            gate.recv().expect("opens");
            reply("first")
        });
        let mut first = Box::pin(first);
        let (told, tell) = channel();
        {
            let mut second = Box::pin(pool.run(move || {
                told.send(()).expect("heard");
                reply("second")
            }));
            // Both are queued; the second is dropped before its turn.
            let waited = tokio::time::timeout(std::time::Duration::from_millis(20), &mut first).await;
            assert!(waited.is_err());
            let waited = tokio::time::timeout(std::time::Duration::from_millis(20), &mut second).await;
            assert!(waited.is_err());
        }
        open.send(()).expect("waits");
        first.await.expect("answers");
        pool.run(|| reply("third")).await.expect("answers");
        assert!(tell.try_recv().is_err());
    }
}
