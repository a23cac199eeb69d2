//! What stands on the lists.

use crate::model::Place;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A row of a cluster of two or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// The least place of the cluster.
    pub(crate) survivor: Place,
    /// Its own.
    pub(crate) place: Place,
    /// Rows of the cluster.
    pub(crate) size: u32,
}

/// Two rows that were verified to resemble each other, the lesser place first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// One row.
    pub(crate) one: Place,
    /// The other.
    pub(crate) other: Place,
    /// Their estimated Jaccard in millionths; 1,000,000 for equal contents.
    pub(crate) resemblance: i64,
}

/// What became of the rows: `rows = kept + exact + near + faulted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows of all shards.
    pub rows: u64,
    /// Rows that stay.
    pub kept: u64,
    /// Rows that go because their text stands at a lesser place.
    pub exact: u64,
    /// Rows that go because they resemble one that stays, or a chain of rows joins them to it.
    pub near: u64,
    /// Rows that could not be read, by reason. They are on no list.
    pub faulted: BTreeMap<String, u64>,
    /// Clusters of two rows or more.
    pub clusters: u64,
    /// Verified pairs.
    pub pairs: u64,
    /// Listed rows without an id of their own: theirs is derived from shard and row.
    pub derived_ids: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rows={} kept={} exact={} near={} faulted={} clusters={} pairs={}",
            self.rows,
            self.kept,
            self.exact,
            self.near,
            self.faulted.values().sum::<u64>(),
            self.clusters,
            self.pairs
        )?;
        self.faulted.iter().try_for_each(|(reason, count)| write!(f, " {reason}={count}"))
    }
}
