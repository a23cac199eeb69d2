//! A table: all its runs at once.

use super::merge::{Backward, Merge};
use super::run::Run;
use crate::error::Result;
use std::sync::Arc;

/// What a table holds, at one moment. Cheap to clone; any number of threads may read it.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    runs: Vec<Arc<Run>>,
}

impl View {
    pub(crate) fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { runs: runs.into_iter().filter(|run| run.rows() > 0).collect() }
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// This, and what another one holds.
    pub(crate) fn with(&self, other: &Self) -> Self {
        Self { runs: self.runs.iter().chain(&other.runs).map(Arc::clone).collect() }
    }

    /// Its runs.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// Looks rows up, best in the order of their keys.
    pub(crate) fn finder(&self) -> Result<Finder> {
        Ok(Finder { merge: Merge::new(&self.runs, &[0xff; 64], 1)? })
    }

    /// Reads it from a key on.
    pub(crate) fn scan(&self, from: &[u8]) -> Result<Merge> {
        Merge::new(&self.runs, from, 16)
    }

    /// Reads it from a key down.
    pub(crate) fn scan_back(&self, from: &[u8]) -> Result<Backward> {
        Backward::new(&self.runs, from)
    }
}

/// Looks rows up by a prefix of their key.
pub(crate) struct Finder {
    merge: Merge,
}

impl Finder {
    /// Calls `found` with each row that begins with `prefix`, in order, and how often it counts.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn find(&mut self, prefix: &[u8], mut found: impl FnMut(&[u8], i32)) -> Result<()> {
        self.merge.seek(prefix)?;
        while self.merge.next()? && self.merge.key().starts_with(prefix) {
            found(self.merge.key(), self.merge.count());
        }
        Ok(())
    }

    /// The first row that begins with `prefix`.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn first(&mut self, prefix: &[u8]) -> Result<Option<&[u8]>> {
        self.merge.seek(prefix)?;
        let there = self.merge.next()? && self.merge.key().starts_with(prefix);
        Ok(there.then(|| self.merge.key()))
    }
}
