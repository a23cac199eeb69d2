//! Brings rows to the worker that owns their node, and says which nodes are here.
//!
//! **Why**: bands and sketches belong to a content, not to a row. A content that a thousand rows share enters
//! the band table once, when the first of them comes, and leaves it with the last.

use super::interner::Interner;
use super::sketch::{Node, Sketch};
use super::table::cut;
use super::turns::Turns;
use crate::model::{Epoch, Signature};
use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// A node appears at a worker of its band keys, or goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Meeting {
    /// The node.
    pub(super) node: Node,
    /// Its keys, cut, that belong to the worker.
    pub(super) keys: Vec<u64>,
    /// The worker.
    pub(super) worker: u64,
}

/// What the operator gives out. Rows and sketches lie where `Hashable` of the node puts them.
pub(super) struct Nodes<'s, R: 'static> {
    /// The rows by node, as they came.
    pub(super) rows: VecCollection<'s, Epoch, (Node, R)>,
    /// One sketch per node that is here.
    pub(super) sketches: VecCollection<'s, Epoch, (Node, Sketch)>,
    /// The keys of nodes that are here.
    pub(super) meetings: VecCollection<'s, Epoch, Meeting>,
    /// Nodes with two rows or more, once.
    pub(super) shared: VecCollection<'s, Epoch, Node>,
}

/// Wires the operator. Rows of one node carry one signature: that of the first and the last is used.
pub(super) fn nodes<'s, R: ExchangeData>(
    stage: &str,
    rows: VecCollection<'s, Epoch, (Node, Signature, R)>,
) -> Nodes<'s, R> {
    let scope = rows.inner.scope();
    let peers = scope.peers() as u64;
    let mut builder = OperatorBuilder::new(format!("{stage}/nodes"), scope);
    let mut input = builder.new_input(
        rows.inner,
        Exchange::new(|update: &((Node, Signature, R), Epoch, isize)| update.0.0.hashed()),
    );
    let (rows_out, rows) = builder.new_output();
    let (sketches_out, sketches) = builder.new_output();
    let (meetings_out, meetings) = builder.new_output();
    let (shared_out, shared) = builder.new_output();
    let mut rows_out = OutputBuilder::from(rows_out);
    let mut sketches_out = OutputBuilder::from(sketches_out);
    let mut meetings_out = OutputBuilder::from(meetings_out);
    let mut shared_out = OutputBuilder::from(shared_out);
    builder.build(move |_| {
        let mut here = Interner::default();
        let mut turns = Turns::<(Node, Signature, R)>::new(4);
        move |frontiers| {
            input.for_each(|held, updates| turns.take_in(&held, updates));
            let (mut rows_out, mut sketches_out, mut meetings_out, mut shared_out) = (
                rows_out.activate(),
                sketches_out.activate(),
                meetings_out.activate(),
                shared_out.activate(),
            );
            for turn in turns.due(&frontiers[0]) {
                let epoch = turn.epoch;
                let mut rows = rows_out.session(&turn.capabilities[0]);
                let mut sketches = sketches_out.session(&turn.capabilities[1]);
                let mut meetings = meetings_out.session(&turn.capabilities[2]);
                let mut shared = shared_out.session(&turn.capabilities[3]);
                for ((node, signature, row), diff) in turn.updates {
                    let count = i32::try_from(diff).expect("fewer than 2^31 rows in one update");
                    let (_, before, after) = here.add(node, count);
                    rows.give(((node, row), epoch, diff));
                    let company = isize::from(after > 1) - isize::from(before > 1);
                    if company != 0 {
                        shared.give((node, epoch, company));
                    }
                    let change = isize::from(after > 0) - isize::from(before > 0);
                    if change == 0 {
                        continue;
                    }
                    let (sketch, bands) = Sketch::split(signature);
                    sketches.give(((node, sketch), epoch, change));
                    for meeting in meetings_of(node, bands, peers) {
                        meetings.give((meeting, epoch, change));
                    }
                }
            }
        }
    });
    Nodes {
        rows: rows.as_collection(),
        sketches: sketches.as_collection(),
        meetings: meetings.as_collection(),
        shared: shared.as_collection(),
    }
}

/// The distinct keys of a node, by worker.
fn meetings_of(node: Node, mut bands: Vec<u64>, peers: u64) -> impl Iterator<Item = Meeting> {
    for band in &mut bands {
        *band = cut(*band);
    }
    bands.sort_unstable_by_key(|key| (key % peers, *key));
    bands.dedup();
    let mut at = 0;
    std::iter::from_fn(move || {
        let worker = bands.get(at)? % peers;
        let keys: Vec<u64> = bands[at..].iter().copied().take_while(|key| key % peers == worker).collect();
        at += keys.len();
        Some(Meeting { node, keys, worker })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_distinct_key_goes_to_its_worker_once() {
        let bands = vec![7, 8, 9, 9, 10, 7, 11];
        let wanted: BTreeSet<u64> = bands.iter().map(|band| cut(*band)).collect();
        for peers in 1..5 {
            let meetings: Vec<Meeting> = meetings_of(5, bands.clone(), peers).collect();
            let keys: Vec<u64> = meetings.iter().flat_map(|meeting| meeting.keys.clone()).collect();
            assert_eq!(keys.len(), wanted.len());
            assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), wanted);
            let workers: BTreeSet<u64> = meetings.iter().map(|meeting| meeting.worker).collect();
            assert_eq!(workers.len(), meetings.len());
        }
    }
}
