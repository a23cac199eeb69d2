//! How an endpoint fares: since when it answers nothing, and how many rows in a row it cost.
//!
//! **Why**: one row that breaks a server is that row's fault; a server that answers nobody is nobody's. Only what
//! all asks of an endpoint saw together tells the two apart, so a dead server never becomes a storm of faults.

use crate::error::{Error, ErrorKind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long the others wait for the one that looks whether a paused endpoint is back.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of one endpoint.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    /// Milliseconds after `start`, plus one, of the first trouble since the last sign of life; 0 for none.
    troubled: AtomicU64,
    answers: AtomicU64,
    faults_in_a_row: AtomicU32,
    /// Milliseconds after `start`, plus one, until which others are asked rather; 0 for no pause.
    paused: AtomicU64,
    /// Pauses so far.
    pauses: AtomicU64,
    /// Asks in a row that it broke off or was away for.
    breaks: AtomicU32,
    /// Why it is asked no more in this run.
    closed: OnceLock<(ErrorKind, String)>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            troubled: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            faults_in_a_row: AtomicU32::new(0),
            paused: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            breaks: AtomicU32::new(0),
            closed: OnceLock::new(),
        }
    }
}

impl Health {
    /// It answered.
    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.faults_in_a_row.store(0, Ordering::Relaxed);
        self.alive();
    }

    /// It said something, if only no.
    pub fn alive(&self) {
        self.troubled.store(0, Ordering::Relaxed);
        self.breaks.store(0, Ordering::Relaxed);
        self.paused.store(0, Ordering::Relaxed);
    }

    /// It broke an ask off, or nobody was there: how many in a row.
    pub fn broke(&self) -> u32 {
        self.breaks.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Others are asked for a while.
    pub fn pause(&self, wait: Duration) {
        let until = self.ms().saturating_add(1).saturating_add(ms_of(wait));
        self.paused.fetch_max(until, Ordering::Relaxed);
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    /// Pauses so far: a change tells an ask that waited for its turn that others may be better now.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// For how long others are asked still.
    pub fn paused(&self) -> Duration {
        let until = self.paused.load(Ordering::Relaxed);
        Duration::from_millis(until.saturating_sub(self.ms().saturating_add(1)))
    }

    /// Whether it may be asked: it is not paused, or its pause is over and nobody looks yet whether it is back. Who is
    /// told yes in that case is the one to look.
    pub fn open(&self) -> bool {
        let until = self.paused.load(Ordering::Relaxed);
        let now = self.ms().saturating_add(1);
        let look = now.saturating_add(ms_of(LOOK));
        self.closed().is_none()
            && (until == 0
                || (until <= now
                    && self
                        .paused
                        .compare_exchange(until, look, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()))
    }

    /// It answers nobody in this run any more. The first reason is kept.
    pub fn close(&self, why: &Error) {
        let _ = self.closed.set((why.kind(), why.to_string()));
    }

    /// Why it is asked no more, if so.
    pub fn closed(&self) -> Option<Error> {
        self.closed.get().map(|(kind, what)| Error::new(*kind, what.clone()))
    }

    /// How long it has answered nobody; `None` if it is in no trouble.
    pub fn troubled_for(&self) -> Option<Duration> {
        let since = self.troubled.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_millis((self.ms() + 1).saturating_sub(since)))
    }

    /// It was busy or away: how long it has been so for everybody.
    pub fn troubled(&self) -> Duration {
        let now = self.ms() + 1;
        match self.troubled.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Duration::ZERO,
            Err(since) => Duration::from_millis(now.saturating_sub(since)),
        }
    }

    /// A row was given up: how many in a row, with no answer between.
    pub fn gave_up(&self) -> u32 {
        self.faults_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn ms(&self) -> u64 {
        ms_of(self.start.elapsed())
    }
}

fn ms_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_counts_from_the_first_and_ends_with_a_sign_of_life() {
        let health = Health::default();
        assert_eq!(health.troubled(), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(15));
        assert!(health.troubled() >= Duration::from_millis(10));
        health.alive();
        assert_eq!(health.troubled(), Duration::ZERO);
    }

    #[test]
    fn one_looks_after_a_pause_and_an_answer_ends_it() {
        let health = Health::default();
        assert!(health.open() && health.open());
        health.pause(Duration::from_mins(1));
        assert!(!health.open() && health.paused() > Duration::from_secs(50));
        health.alive();
        health.pause(Duration::from_millis(3));
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(health.paused(), Duration::ZERO);
        assert!(health.open());
        assert!(!health.open(), "two look");
        health.answered();
        assert!(health.open() && health.open());
        assert_eq!((health.pauses(), health.broke(), health.broke()), (2, 1, 2));
    }

    #[test]
    fn a_closed_endpoint_stays_closed_and_says_why() {
        let health = Health::default();
        health.close(&Error::config("wrong key"));
        health.close(&Error::bug("later"));
        health.answered();
        assert!(!health.open());
        assert_eq!(health.closed().expect("closed").to_string(), "wrong key");
    }

    #[test]
    fn an_answer_ends_a_row_of_faults() {
        let health = Health::default();
        assert_eq!((health.gave_up(), health.gave_up()), (1, 2));
        health.answered();
        assert_eq!((health.gave_up(), health.answers()), (1, 1));
    }
}
