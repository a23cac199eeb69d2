//! Candidates: nodes that share a band key. The table decides (see `table`), this file moves keys to it.

use super::nodes::Meeting;
use super::sketch::Node;
use super::table::{Met, Table};
use super::turns::Turns;
use crate::model::Epoch;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What the operator gives out.
pub(super) struct Candidates<'s> {
    /// Two nodes, the lesser first, once per small band that they share.
    pub(super) pairs: VecCollection<'s, Epoch, (Node, Node)>,
    /// A band key with more nodes than are paired, and each of them.
    pub(super) crowds: VecCollection<'s, Epoch, (u64, Node)>,
}

/// Wires the operator.
pub(super) fn candidates<'s>(
    stage: &str,
    meetings: VecCollection<'s, Epoch, Meeting>,
    whole_band: u32,
) -> Candidates<'s> {
    let mut builder = OperatorBuilder::new(format!("{stage}/bands"), meetings.inner.scope());
    let mut input =
        builder.new_input(meetings.inner, Exchange::new(|update: &(Meeting, Epoch, isize)| update.0.worker));
    let (pairs_out, pairs) = builder.new_output();
    let (crowds_out, crowds) = builder.new_output();
    let mut pairs_out = OutputBuilder::from(pairs_out);
    let mut crowds_out = OutputBuilder::from(crowds_out);
    builder.build(move |_| {
        let mut table = Table::new(whole_band);
        let mut turns = Turns::<Meeting>::new(2);
        move |frontiers| {
            input.for_each(|held, updates| turns.take_in(&held, updates));
            let (mut pairs_out, mut crowds_out) = (pairs_out.activate(), crowds_out.activate());
            for turn in turns.due(&frontiers[0]) {
                let epoch = turn.epoch;
                let mut pairs = pairs_out.session(&turn.capabilities[0]);
                let mut crowds = crowds_out.session(&turn.capabilities[1]);
                for (meeting, diff) in turn.updates {
                    table.update(meeting.node, &meeting.keys, diff > 0, |met, diff| match met {
                        Met::Pair(a, b) => pairs.give(((a, b), epoch, diff)),
                        Met::Crowd(key, node) => crowds.give(((key, node), epoch, diff)),
                    });
                }
            }
        }
    });
    Candidates { pairs: pairs.as_collection(), crowds: crowds.as_collection() }
}
