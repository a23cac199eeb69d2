//! How often an ask is tried, and how long between.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// How asks of one endpoint are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries of one ask that the endpoint breaks off. Waiting for a busy or absent one is no try.
    pub tries: u32,
    /// The first wait; it doubles from try to try, with as much again at random.
    pub first_wait: Duration,
    /// The longest wait, unless the server itself asks for more.
    pub most_wait: Duration,
    /// How long nobody gets an answer before the run stops.
    pub give_up_after: Duration,
    /// Rows given up one after the other, with no answer between, before the run stops.
    pub most_faults_in_a_row: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(250),
            most_wait: Duration::from_secs(15),
            give_up_after: Duration::from_mins(10),
            most_faults_in_a_row: 64,
        }
    }
}

impl Retry {
    /// The waits of one ask. Seeded by its key: waits differ between asks, and nothing but time depends on them.
    pub(super) fn waits(&self, key: u128) -> ExponentialBackoff {
        let seed = u64::try_from(key >> 64).unwrap_or_default();
        ExponentialBuilder::new()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.most_wait)
            .with_jitter()
            .with_jitter_seed(seed)
            .without_max_times()
            .build()
    }

    /// The waits after a reply that is none: the first wait again and again, with as much again at random.
    pub(super) fn short_waits(&self, key: u128) -> ExponentialBackoff {
        Self { most_wait: self.first_wait, ..*self }.waits(key)
    }
}
