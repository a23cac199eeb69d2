//! Connected components: every node of an edge gets the least label that reaches it.
//!
//! **Why**: with labels in the order of the nodes, cutting one edge of a long path takes back a label step by
//! step from every node behind the cut (41 s on a path of 3,000). Labels are hashed, so the least ones lie
//! everywhere and no label has far to go, and they enter in rounds, least first, so most never start (0.7 s).

use super::sketch::Node;
use crate::model::Epoch;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use timely::order::Product;

/// Iterations that the labels of one round have to spread before the next round enters.
const STEPS: u64 = 256;

type Inner = Product<Epoch, u64>;

/// The label of every node that has an edge.
pub(super) fn components<'s>(
    stage: &str,
    edges: VecCollection<'s, Epoch, (Node, Node)>,
) -> VecCollection<'s, Epoch, (Node, u128)> {
    let outer = edges.scope();
    let names = ["edges", "labels_offered", "labels"].map(|what| format!("{stage}/{what}"));
    let edges = edges.clone().concat(edges.map(|(a, b)| (b, a)));
    outer.scoped::<Inner, _, _>(&format!("{stage}/components"), |inner| {
        let nodes =
            edges.clone().map(|(node, _)| (node, label(node))).enter_at(inner, |(_, label)| round(*label));
        let edges = edges.arrange_by_key_named(&names[0]).enter(inner);
        let (offers, offered) = Variable::new(inner, Product::new(0, 1));
        let labels = offered
            .concat(nodes)
            .arrange_by_key_named(&names[1])
            .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<Node, u128, Inner, isize>, _, _>(
                &names[2],
                |_node, labels, least| least.extend(labels.first().map(|(label, _)| (**label, 1))),
                |updates, node, labels| {
                    updates.clear();
                    updates.extend(labels.drain(..).map(|(label, time, diff)| ((*node, label), time, diff)));
                },
            );
        offers.set(labels.clone().join_core(edges, |_node, label, neighbour| Some((*neighbour, *label))));
        labels.as_collection(|node, label| (*node, *label)).leave(outer)
    })
}

/// A mixing of the node that can be undone, so that no two nodes share a label.
pub(super) fn label(node: Node) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let once = (node ^ (node >> 64)).wrapping_mul(ODD);
    let twice = (once ^ (once >> 61)).wrapping_mul(ODD);
    twice ^ (twice >> 64)
}

/// When a label enters: half of all labels enter last, a quarter before them, and so on.
fn round(label: u128) -> u64 {
    STEPS * u64::from(64 - label.leading_zeros().min(64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn labels_are_distinct_and_spread() {
        let labels: BTreeSet<u128> = (0..10_000).map(label).collect();
        assert_eq!(labels.len(), 10_000);
        let last = labels.iter().filter(|label| round(**label) == STEPS * 64).count();
        assert!((4_800..5_200).contains(&last), "{last}");
    }
}
