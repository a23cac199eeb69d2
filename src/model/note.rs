//! The end of a fragment's (or row's) way: written once, where it ends short of the output.

use super::{Lang, Place, Verdict};
use serde::{Deserialize, Serialize};

/// One row or fragment that was dropped or faulted, and where.
///
/// Every fragment ends as one note or one row of the output; counters and audit are read off these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Note {
    /// Its place; `start` is 0 for a whole row.
    pub place: Place,
    /// Its lang, or its document's where none was identified.
    pub lang: Lang,
    /// The last stage's verdict.
    pub verdict: Verdict,
}
