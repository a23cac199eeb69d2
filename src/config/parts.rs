//! The form of the parts of the output.

use crate::error::Result;
use crate::stage::within;
use serde::{Deserialize, Serialize};

/// Source rows per row group, unless settings say otherwise.
pub const BLOCK_ROWS: u32 = 4096;

/// Settings of parts, `[parts]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartSettings {
    /// Source rows whose rows share a row group, `1..=1_048_576`. When one of them changes, the row group is written anew and
    /// the others are copied: fewer rows are cheaper deltas, more are smaller files.
    pub block_rows: u32,
}

impl Default for PartSettings {
    fn default() -> Self {
        Self { block_rows: BLOCK_ROWS }
    }
}

impl PartSettings {
    /// Checks the range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        within(key, "block_rows", u64::from(self.block_rows), 1..=1 << 20)
    }
}
