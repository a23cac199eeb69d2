//! Durable state: sorted immutable runs, artefacts of shards, and a manifest of them for each snapshot.

pub(crate) mod artefact;
pub(crate) mod codec;
pub(crate) mod damage;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod run;
pub(crate) mod shards;
pub(crate) mod sorter;
pub(crate) mod store;
pub(crate) mod syncer;
pub(crate) mod table;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub mod upkeep;
