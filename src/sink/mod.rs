//! Where rows go: parts per lang and shard, one atomic snapshot with a manifest and a card, the audit.

pub mod audit;
pub mod card;
pub mod columns;
pub mod file;
pub mod keep_list;
pub mod manifest;
pub mod names;
pub mod part;
pub mod parts;
pub mod show;
pub mod snapshot;
pub(crate) mod splice;
pub mod verify;

pub use columns::Versions;
pub use manifest::{AuditFile, Delta, Manifest, Part, ShardEntry};
pub use parts::PartContext;
pub use snapshot::{Output, Published};
