//! Counters, progress and the final table.

pub mod plain;
pub mod progress;
pub mod table;
pub mod tally;

pub use plain::plain;
pub use progress::Progress;
pub use table::{Cost, Costs};
pub use tally::Tally;
