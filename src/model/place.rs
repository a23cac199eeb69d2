//! Where a row or a fragment stands, and logical time.
//!
//! **Why**: dedup keeps the least member of a cluster, and output is ordered; both need one total
//! order that is a function of the set of shards. Shards are numbered by the order of their keys
//! within a run, so comparing places compares (shard key, row, span) without carrying text.

use serde::{Deserialize, Serialize};

/// Logical time: one epoch per admitted set of shards.
pub type Epoch = u64;

/// A place in the corpus: a row of a shard, and where in the row's text a fragment starts.
///
/// Fragments of a row do not overlap, so the start tells them apart. A whole document has `start` 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Position of the shard's key in the run's sorted list of shard keys.
    pub shard: u32,
    /// Row in the shard, from 0.
    pub row: u32,
    /// First byte of the fragment in the row's text.
    pub start: u32,
}

impl Place {
    /// The place of a whole document.
    pub fn of_row(shard: u32, row: u32) -> Self {
        Self { shard, row, start: 0 }
    }

    /// A well-mixed hash for routing between workers. Never persisted.
    pub fn route(self) -> u64 {
        route_of(self.shard, self.row)
    }
}

/// Rows of one shard travel in blocks, so that a worker which re-reads rows finds neighbours together.
const ROWS_PER_BLOCK: u32 = 4096;

/// The routing hash of a row: equal for all rows of one block.
fn route_of(shard: u32, row: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&shard.to_le_bytes());
    bytes[4..].copy_from_slice(&(row / ROWS_PER_BLOCK).to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_by_shard_then_row_then_start() {
        let a = Place { shard: 0, row: 9, start: 9 };
        let b = Place { shard: 1, row: 0, start: 7 };
        let c = Place { shard: 1, row: 1, start: 0 };
        assert!(a < b && b < c);
    }
}
