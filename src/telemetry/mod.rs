//! Counters, progress and the final table; the clock that they are told by.

pub mod clock;
pub mod cpu;
pub mod memory;
pub mod plain;
pub mod progress;
pub mod stopwatch;
pub mod table;
pub mod tally;

pub use clock::{Clock, SystemClock};
pub use plain::plain;
pub use progress::Progress;
pub use stopwatch::Stopwatch;
pub use table::{BillLine, Cost, Costs};
pub use tally::Tally;
