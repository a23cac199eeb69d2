//! Answers that were paid for, kept for ever.
//!
//! **Why**: models are slow, cost money and do not say the same thing twice. So an answer is asked once, and a
//! rerun, a crash, a retraction or a changed setting finds it here. Models are not functions: the journal is part of
//! the state of a run. Failures are no answers, and are not kept.

pub mod entry;
pub mod flights;
mod log;
pub mod parquet;
pub mod store;
pub mod upkeep;
mod writer;

/// Its name in the folder of the state.
pub const FILE: &str = "journal.redb";

pub use entry::{Entry, canonical, key_of, key_under};
pub use flights::{Flights, Landing, Seat};
pub use store::Journal;
pub(crate) use store::drawn;
