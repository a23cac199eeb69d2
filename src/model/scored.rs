//! What selection knows of an exchange: ids, numbers and hashes.

use super::{ContentId, FragmentRow, Signature};
use serde::{Deserialize, Serialize};

/// A fragment with its signature: what the front hands to dedup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signed {
    /// The fragment.
    pub row: FragmentRow,
    /// The signature of its text; the same for equal content.
    pub signature: Signature,
}

/// A scored exchange: what the model stages hand to selection. Text stays in the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scored {
    /// The fragment.
    pub row: FragmentRow,
    /// Its score in millionths.
    pub score: i64,
    /// The codebook cell of the English pair.
    pub cell: u32,
    /// Content id of the English instruction.
    pub asked: ContentId,
    /// Signature of the English instruction.
    pub asked_signature: Signature,
}
