//! Near-duplicate removal alone: shards in, the list of rows to keep out. Documents are the units, no model is asked.
//!
//! ```text
//! tasks ─► read ─► sign rows ─► artefacts text, on the worker that took the row group and decoded it
//!            signed ids ─► clusters       over durable state, or in memory; exchanged by hash
//!              members, pairs ─► resolve  who stays, and on what grounds
//!                ids read again ─► kept, clusters, pairs, rows ─► one snapshot
//! ```
//!
//! **Why a second reading of ids**: an id may be as long as its owner likes, so none travels with a document; ids are
//! read, shard by shard, when the lists are written.

mod change;
mod durable;
mod job;
mod outcome;
pub mod recall;
mod resolve;
mod run;
mod settings;
mod wire;

pub use job::{Job, prepare};
pub use outcome::Outcome;
pub use run::{dedup, execute};
pub use settings::Settings;
