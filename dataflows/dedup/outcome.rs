//! What a run of dedup did: for the terminal, for `--json`, for tests.

use crate::error::{Error, Result};
use crate::sink::keep_list::{Counts, KeepList};
use crate::sink::manifest::Delta;
use serde::Serialize;

/// What a run did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What readers see now.
    pub list: KeepList,
    /// How its shards differ from those before.
    pub delta: Delta,
    /// Whether the dataflow ran; if not, readers saw already what it would have made.
    pub ran: bool,
    /// Row groups that it read; those of shards that stand are not read again where state is durable.
    pub row_groups_read: usize,
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
    #[serde(flatten)]
    delta: &'a Delta,
    counts: &'a Counts,
    row_groups_read: usize,
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
            delta: &self.delta,
            counts: &self.list.counts,
            row_groups_read: self.row_groups_read,
            text_in_flight_bytes: self.in_flight,
            seconds: self.seconds,
            peak_memory_bytes: crate::telemetry::memory::peak_bytes(),
        };
        serde_json::to_string(&report).map_err(|cause| Error::bug("report not encoded").because(cause))
    }
}
