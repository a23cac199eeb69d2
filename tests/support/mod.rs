//! What the tests of incremental stages share: scripts of updates, their replay, and plain-loop oracles.

pub mod dedup;
pub mod replay;
pub mod scripts;
pub mod selection;
