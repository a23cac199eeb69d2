//! The product: native shards in, instruction rows per lang out, in one timely dataflow.
//!
//! ```text
//! tasks ─► read ─► segment ─► identify ─► quality ─► sign      text, on the worker that took the row group
//!            signed ids ─► dedup ─► sample                     differential, exchanged by hash
//!              admitted ─► read again ─► translate ─► instruct ─► score ─► embed ─► settle
//!                scored ids ─► threshold ─► near instructions ─► quota          differential
//!                  selected ─► reuse ─► read again ─► the same models, from the journal ─► localize ─► parts
//!                    notes ─► audit and tally;   parts ─► one snapshot
//! ```
//!
//! **Why two passes over the models**: selection compares all exchanges, so text cannot wait for it in memory. What
//! is selected is read again and its replies come from the journal, so the second pass pays for localize alone.

pub mod bench;
mod change;
mod durable;
pub mod estimate;
mod forecast;
mod front;
mod handout;
mod job;
mod join;
mod models;
mod outcome;
mod plan;
pub mod roles;
mod run;
mod trial;
mod wire;

pub use change::{Change, Restart};
pub use job::{Given, Job, prepare};
pub use join::join;
pub use outcome::{Outcome, Work};
pub use plan::{Asked, Plan};
pub use roles::{Endpoints, Roles};
pub use run::{curate, execute, lead, sharable};
