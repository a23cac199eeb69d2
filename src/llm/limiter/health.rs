//! How an endpoint fares: since when it answers nothing, and how many rows in a row it cost.
//!
//! **Why**: one row that breaks a server is that row's fault; a server that answers nobody is nobody's. Only what
//! all asks of an endpoint saw together tells the two apart, so a dead server never becomes a storm of faults.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of one endpoint.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    /// Milliseconds after `start`, plus one, of the first trouble since the last sign of life; 0 for none.
    troubled: AtomicU64,
    answers: AtomicU64,
    faults_in_a_row: AtomicU32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            troubled: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            faults_in_a_row: AtomicU32::new(0),
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
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
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
    fn an_answer_ends_a_row_of_faults() {
        let health = Health::default();
        assert_eq!((health.gave_up(), health.gave_up()), (1, 2));
        health.answered();
        assert_eq!((health.gave_up(), health.answers()), (1, 1));
    }
}
