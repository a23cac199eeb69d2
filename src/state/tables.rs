//! The tables of a state with what is needed to read and write their rows: what every durable stage takes along.

use super::codec::Codec;
use super::sorter::Sorter;
use super::store::{Store, Team};
use std::sync::Arc;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    /// Where they are.
    pub(crate) store: Arc<Store>,
    /// Labels of shards.
    pub(crate) codec: Codec,
    /// Bytes that a sorter may hold.
    pub(crate) sort_bytes: usize,
    /// Who works on them.
    pub(crate) team: Team,
}

impl Tables {
    /// A sorter of keys of `key` bytes.
    pub(crate) fn sorter(&self, what: &'static str, key: usize) -> Sorter {
        Sorter::new(what, key, self.sort_bytes, self.store.scratch())
    }
}
