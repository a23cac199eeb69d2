//! The MinHash signature of a text, as dedup needs it: band keys to meet by, a sketch to verify by.

use serde::{Deserialize, Serialize};

/// Hashes only, never text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// One key per band; texts that share one are candidates.
    pub bands: Vec<u64>,
    /// The low byte of every lane: the share of equal bytes, corrected for chance, estimates Jaccard.
    pub sketch: Vec<u8>,
}
