//! What the tests of incremental stages share: scripts of updates, their replay, and plain-loop oracles.

pub(crate) mod dedup;
pub(crate) mod replay;
pub(crate) mod scripts;
pub(crate) mod selection;
