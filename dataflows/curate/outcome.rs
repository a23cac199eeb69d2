//! What a run did: for the final table, for `--json`, for tests.

use super::roles::Roles;
use crate::llm::Role;
use crate::llm::money::Money;
use crate::model::Stage;
use crate::sink::manifest::{Delta, Manifest};
use crate::telemetry::{BillLine, Cost, Costs, Tally};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a run did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The snapshot that readers see now.
    pub manifest: Manifest,
    /// How its shards differ from the snapshot before.
    pub delta: Delta,
    /// Counts by stage and lang.
    pub tally: Tally,
    /// Calls by role.
    pub work: BTreeMap<Role, Work>,
    /// Calls, tokens and seconds by stage and lang.
    pub costs: Costs,
    /// Whether the dataflow ran; if not, the snapshot was what it would have made.
    pub ran: bool,
    /// The first stage that started anew.
    pub starts_anew: Option<&'static str>,
    /// Row groups that were read, of all there are.
    pub row_groups_read: usize,
    /// Parts taken over as they were, of all parts.
    pub reused: usize,
    /// Row groups of parts written anew that were copied as they were.
    pub row_groups_copied: u64,
    /// The most bytes of text in flight: front, first pass, second pass, summed over the workers.
    pub in_flight: [u64; 3],
    /// Seconds from start to snapshot.
    pub seconds: f64,
}

/// What a role asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Work {
    /// Answers that were asked for.
    pub calls: u64,
    /// Answers from the journal, or shared with an equal ask in flight.
    pub cached: u64,
    /// Second and later tries.
    pub retries: u64,
    /// Asks that got no answer.
    pub faults: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Seconds of waiting for answers, summed over asks in flight.
    pub busy_seconds: f64,
}

impl Work {
    /// What each role asked so far.
    pub(super) fn of(roles: &Roles) -> BTreeMap<Role, Self> {
        Role::ALL
            .into_iter()
            .map(|role| {
                let figures = roles.meter.figures(role);
                let work = Self {
                    calls: figures.calls,
                    cached: figures.cached,
                    retries: figures.retries,
                    faults: figures.faults,
                    input_tokens: figures.input_tokens,
                    output_tokens: figures.output_tokens,
                    busy_seconds: figures.busy.as_secs_f64(),
                };
                (role, work)
            })
            .collect()
    }
}

/// The stage that a role works for.
fn stage_of(role: Role) -> Stage {
    match role {
        Role::Translate => Stage::Translate,
        Role::Instruct => Stage::Instruct,
        Role::Score => Stage::Score,
        Role::Embed => Stage::Embed,
        Role::Localize => Stage::Localize,
    }
}

/// What the stages cost so far, by lang.
pub(super) fn costs_of(roles: &Roles) -> Costs {
    let mut costs = Costs::default();
    for ((role, lang), figures) in roles.meter.figures_by_lang() {
        let cost = Cost {
            calls: figures.calls,
            cached: figures.cached,
            input_tokens: figures.input_tokens,
            output_tokens: figures.output_tokens,
            money: figures.money,
            micros: u64::try_from(figures.busy.as_micros()).unwrap_or(u64::MAX),
        };
        costs.add(stage_of(role), lang, cost);
    }
    let bill = roles.meter.bill().into_iter();
    costs.bill = bill
        .map(|((role, endpoint, lang), billed)| BillLine {
            role,
            endpoint,
            lang: lang.tag().to_owned(),
            billed,
        })
        .collect();
    costs
}

/// The object that `run --json` ends with.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ran: bool,
    digest: String,
    #[serde(flatten)]
    delta: &'a Delta,
    starts_anew: &'static str,
    row_groups_read: usize,
    rows: BTreeMap<&'static str, u64>,
    counts: &'a [crate::sink::manifest::Count],
    calls: BTreeMap<&'static str, Work>,
    costs: &'a [BillLine],
    money: Money,
    parts: usize,
    parts_reused: usize,
    row_groups_copied: u64,
    text_in_flight_bytes: [u64; 3],
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

impl Outcome {
    /// One JSON object: delta, counts by stage and lang, calls, the bill by role, endpoint
    /// and lang, seconds, peak memory, digest of the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be written as JSON.
    pub fn json(&self) -> crate::Result<String> {
        let report = Report {
            ran: self.ran,
            digest: format!("{:032x}", self.manifest.digest),
            delta: &self.delta,
            starts_anew: self.starts_anew.unwrap_or("nothing"),
            row_groups_read: self.row_groups_read,
            rows: self.manifest.rows_by_lang().into_iter().map(|(lang, rows)| (lang.tag(), rows)).collect(),
            counts: &self.manifest.counts,
            calls: self.work.iter().map(|(role, work)| (role.name(), *work)).collect(),
            costs: &self.costs.bill,
            money: self.costs.sum().money,
            parts: self.manifest.parts.len(),
            parts_reused: self.reused,
            row_groups_copied: self.row_groups_copied,
            text_in_flight_bytes: self.in_flight,
            seconds: self.seconds,
            peak_memory_bytes: crate::telemetry::memory::peak_bytes(),
        };
        serde_json::to_string(&report).map_err(|cause| crate::Error::bug("report not encoded").because(cause))
    }
}
