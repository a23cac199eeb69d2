//! What runs leave behind, and how much memory its sorting may take.

use crate::error::Result;
use crate::stage::within;
use serde::{Deserialize, Serialize};

/// Where the state of dedup and selection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// On disk, beside the output: the next run costs what changed.
    #[default]
    Durable,
    /// In memory, for one run: everything is read each time. Gives the same rows.
    Memory,
}

/// Settings of state, `[state]`. They cannot change a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSettings {
    /// `durable` or `memory`.
    pub mode: Mode,
    /// Bytes that each sorter may hold, `65_536..=8_589_934_592`; what does not fit is sorted on disk. A worker has up to
    /// eight sorters at a time.
    pub sort_bytes: u64,
}

impl Default for StateSettings {
    fn default() -> Self {
        Self { mode: Mode::Durable, sort_bytes: 32 << 20 }
    }
}

impl StateSettings {
    /// Checks the range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        within(key, "sort_bytes", self.sort_bytes, 1 << 16..=8 << 30)
    }
}
