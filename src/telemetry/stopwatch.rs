//! Seconds since something began, for tables and benches; never for a row.

use std::time::Instant;

/// Began when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock for people")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Milliseconds since.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
