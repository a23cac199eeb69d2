//! What a run of dedup did: for the terminal, for `--json`, for tests.

use crate::error::{Error, Result};
use crate::sink::keep_list::KeepList;
use crate::sink::manifest::Delta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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

/// What a run did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What readers see now.
    pub list: KeepList,
    /// How its shards differ from those before.
    pub delta: Delta,
    /// Whether the dataflow ran; if not, readers saw already what it would have made.
    pub ran: bool,
    /// The most bytes of text in flight, summed over the workers.
    pub in_flight: u64,
    /// Seconds from prepared job to snapshot.
    pub seconds: f64,
}

/// The object that `dedup --json` ends with.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ran: bool,
    digest: String,
    added: &'a [String],
    replaced: &'a [String],
    removed: &'a [String],
    unchanged: usize,
    counts: &'a Counts,
    text_in_flight_bytes: u64,
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

impl Outcome {
    /// One JSON object: delta, counts, seconds, peak memory, digest of the lists.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be written as JSON.
    pub fn json(&self) -> Result<String> {
        let report = Report {
            ran: self.ran,
            digest: format!("{:032x}", self.list.digest),
            added: &self.delta.added,
            replaced: &self.delta.replaced,
            removed: &self.delta.removed,
            unchanged: self.delta.unchanged.len(),
            counts: &self.list.counts,
            text_in_flight_bytes: self.in_flight,
            seconds: self.seconds,
            peak_memory_bytes: crate::telemetry::memory::peak_bytes(),
        };
        serde_json::to_string(&report).map_err(|cause| Error::bug("report not encoded").because(cause))
    }
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
