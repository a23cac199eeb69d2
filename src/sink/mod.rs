//! Where rows go: parts per lang and shard, one atomic snapshot with a manifest and a card, the audit.

pub mod audit;
pub mod card;
pub mod columns;
pub mod manifest;
pub mod parts;
pub mod show;
pub mod snapshot;
pub mod verify;
