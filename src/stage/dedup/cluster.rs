//! From rows to survivors: the whole of dedup, for any rows that have a node, a signature and an order.
//!
//! Selection uses it for instructions, too; what it calls the least row is up to the order of `R`.

use super::bands::candidates;
use super::components::components;
use super::edges::edges;
use super::nodes::{Nodes, nodes};
use super::settings::DedupSettings;
use super::sketch::Node;
use crate::model::{Epoch, Signature};
use crate::stage::by_key::{ByKey, reduce, reduce_arranged};
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::ValBatcher;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::channels::pact::Pipeline;

/// Every row, once. Rows of one cluster are told apart by their order alone, so no two may be equal.
pub(crate) struct Clustered<'s, R: 'static> {
    /// The least row of each cluster. Not consolidated: changes within an epoch cancel.
    pub(crate) survivors: VecCollection<'s, Epoch, (Node, R)>,
    /// Rows whose node has a lesser row.
    pub(crate) exact: VecCollection<'s, Epoch, (Node, R)>,
    /// The least row of each node whose cluster has a lesser row.
    pub(crate) near: VecCollection<'s, Epoch, (Node, R)>,
}

/// Wires all of it; arrangements are named `stage/what`.
pub(crate) fn cluster<'s, R: ExchangeData>(
    stage: &str,
    rows: VecCollection<'s, Epoch, (Node, Signature, R)>,
    settings: &DedupSettings,
) -> Clustered<'s, R> {
    let Nodes { rows, sketches, meetings, .. } = nodes(stage, rows);
    let candidates = candidates(stage, meetings, settings.whole_band);
    let edges = edges(stage, candidates, sketches, settings);
    let labels =
        components(stage, edges.map(|(a, b, _)| (a, b))).arrange_by_key_named(&format!("{stage}/cluster_of"));

    // Rows lie where the hash of their node puts them already.
    let by_node: ByKey<'s, Node, R> =
        arrange_core(rows.clone().inner, Pipeline, &format!("{stage}/rows"), ValBatcher::new);
    let exact = reduce_arranged(&format!("{stage}/exact"), by_node.clone(), |_node, rows, out| {
        out.extend(rows.iter().skip(1).map(|(row, count)| ((*row).clone(), *count)));
    });
    let members = by_node.join_core(labels, |node, row, label| Some((*label, (*node, row.clone()))));
    let near = reduce(&format!("{stage}/near"), members, |_label, members, out| {
        // Members come by node, then by row: the first of a node is its least.
        let mut leasts: Vec<_> = members.chunk_by(|a, b| a.0.0 == b.0.0).map(|of_node| &of_node[0]).collect();
        let survivor = leasts.iter().enumerate().min_by_key(|(_, (member, _))| &member.1).map(|(at, _)| at);
        survivor.map(|at| leasts.swap_remove(at));
        out.extend(leasts.into_iter().map(|(member, count)| ((*member).clone(), *count)));
    })
    .map(|(_label, member)| member);
    let survivors = rows.concat(exact.clone().negate()).concat(near.clone().negate());
    Clustered { survivors, exact, near }
}
