//! Counters, progress and the final table.

pub mod clock;

pub use clock::{Clock, SystemClock};
