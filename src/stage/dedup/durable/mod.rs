//! Clusters whose state lies on disk: what a delta changes, at a cost that follows the delta.
//!
//! **Why**: a crawl of months does not fit memory, and next month's is a small part of it. Tables hold what is known;
//! only the clusters that a delta touches are loaded, and differential dataflow runs over those alone.
//! **In** rows that come and go. **Out** the changes of verdicts, at epoch 1. **State** see below; memory is that of the
//! sorters (`state.sort_bytes` each) and of the edges in touched clusters.
//!
//! | table | key | of |
//! | --- | --- | --- |
//! | `docs` | node, row | every row |
//! | `sketches` | node, sketch | every node |
//! | `bands` | cut band key (6 bytes), first 8 bytes of the node | every node, once per key |
//! | `edges` | node, other node, resemblance in millionths; counts bands | both directions of every verified pair |
//! | `labels`, `members` | node, label; label, node | every node with an edge |
//!
//! ```text
//! rows ─ nodes ─┬─ bands ─┬─ pairs ─┐                    ┌─ labels (tables, and a check)
//!               │         └ crowds ─┴─ edges ─ closure ──┼─ components ─┬─ near, survivors
//!               ├─ least row of a node ────────┘ └─ members (epoch 0) ──┘
//!               └─ exact
//! ```
//! The edges and rows of touched clusters as they stood are epoch 0, so what differential gives at epoch 1 is the change;
//! and the labels that it computes for epoch 0 must be those of the table, which is checked. A first load has no epoch 0 and
//! takes nothing back: its clusters are found by sorting (`first`).

mod bands;
mod closure;
mod first;
mod labels;
mod members;
mod nodes;
mod pairs;
mod sketches;
mod standing;

use super::cluster::Clustered;
use super::components::components;
use super::settings::DedupSettings;
use super::sketch::Node;
use crate::model::{Epoch, Signature};
use crate::stage::by_key::reduce;
use crate::stage::gather::{NOW, gathered};
use crate::state::codec::{Codec, Shape};
use crate::state::table::View;
use crate::state::tables::Tables;
use crate::stop::Stop;
use bands::{BandOut, Bands};
use closure::{Closed, Closure, Touched};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
pub(crate) use labels::Check;
use labels::Labelled;
use members::{Members, Stood};
use nodes::{NodeOut, Nodes};
use pairs::{PairIn, Pairs};
pub(crate) use standing::{standing_members, standing_pairs};
use std::sync::Arc;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Filter;

/// A row of a cluster that can be stored. Its bytes have its order, and rows that differ have different bytes.
pub(crate) trait Stored: ExchangeData {
    /// Bytes of a row.
    const WIDTH: usize;
    /// Writes it.
    fn put(&self, codec: &Codec, out: &mut Vec<u8>);
    /// Reads it.
    fn take(codec: &Codec, bytes: &[u8]) -> Self;
}

/// What durable clusters need to know.
#[derive(Clone)]
pub(crate) struct Durable {
    /// Its tables are named `stage/what`.
    pub(crate) stage: &'static str,
    pub(crate) tables: Tables,
    /// Shape of signatures.
    pub(crate) shape: Shape,
    /// What resembles what.
    pub(crate) settings: DedupSettings,
    /// Raised when a disk fails.
    pub(crate) stop: Stop,
    /// Compares labels.
    pub(crate) check: Arc<Check>,
}

impl Durable {
    fn name(&self, what: &str) -> String {
        format!("{}/{what}", self.stage)
    }

    fn table(&self, what: &str) -> View {
        self.tables.store.table(&self.name(what))
    }
}

const NODE: usize = 16;
/// Bytes of an edge: two nodes and their resemblance.
const EDGE: usize = 2 * NODE + 4;

fn node_of(bytes: &[u8]) -> Node {
    u128::from_be_bytes(bytes.get(..NODE).and_then(|node| node.try_into().ok()).unwrap_or_default())
}

/// The first 8 bytes of a node: what band rows hold of it. Two nodes that share them are both looked at.
fn prefix_of(node: Node) -> u64 {
    (node >> 64) as u64
}

/// Wires all of it. Only what changes is given, at epoch 1.
pub(crate) fn durable_cluster<'s, R: Stored>(
    ctx: &Durable,
    rows: VecCollection<'s, Epoch, (Node, Signature, R)>,
) -> Clustered<'s, R> {
    let name = |what: &str| ctx.name(what);
    let stop = &ctx.stop;
    let by_node = |node: Node| prefix_of(node) ^ prefix_of(node << 64);
    let nodes = gathered(&name("nodes"), rows, move |(node, ..)| by_node(*node), stop, Nodes::new(ctx));
    let (keys, nodes) = apart(nodes, |out| match out {
        NodeOut::Bands { keys, node } => Ok((keys, node)),
        other => Err(other),
    });
    let peers = keys.inner.scope().peers() as u64;
    let keys = keys.flat_map(move |(keys, node)| {
        shares(keys, peers).into_iter().map(move |(worker, keys)| (worker, node, keys))
    });
    let (leasts, nodes) = apart(nodes, |out| match out {
        NodeOut::Least { node, old, new } => Ok(Touched::Least(node, old, new)),
        other => Err(other),
    });
    let (exact, nodes) = apart(nodes, |out| match out {
        NodeOut::Exact(node, row) => Ok((node, row)),
        other => Err(other),
    });
    let elsewhere = nodes.flat_map(|out| match out {
        NodeOut::Sketches(worker, run) => Some(PairIn::Sketches(worker, run)),
        _ => None,
    });
    let met = gathered(&name("bands"), keys, |(worker, ..)| *worker, stop, Bands::new(ctx));
    let (pairs, crowded) = apart(met, |out| match out {
        BandOut::Pair(a, b) => Ok(PairIn::Pair(a, b)),
        BandOut::Edge(edge) => Err(edge),
    });
    let route = |data: &PairIn| match data {
        PairIn::Pair(a, b) => a ^ b.rotate_left(32),
        PairIn::Sketches(worker, _) => *worker,
    };
    let verified = gathered(&name("pairs"), pairs.concat(elsewhere), route, stop, Pairs::new(ctx));
    let edges = verified.concat(crowded);
    let both = |(a, b, like)| [Touched::Edge(a, b, like), Touched::Edge(b, a, like)];
    let touched = edges.flat_map(both).concat(leasts);
    let closed = gathered(&name("closure"), touched, move |row| by_node(row.node()), stop, Closure::new(ctx));
    let (alone, closed) = apart(closed, |out| match out {
        Closed::Alone(node, row) => Ok((node, row)),
        other => Err(other),
    });
    // All workers see the same tables.
    let (survivors, near) = if ctx.table("docs").is_empty() {
        first::first(ctx, closed, by_node)
    } else {
        touched_clusters(ctx, closed, by_node)
    };
    Clustered { survivors: survivors.concat(alone), exact, near }
}

/// The keys of a node by the worker that has their bands: a record for each worker goes to it in place of one for each key.
fn shares(keys: Vec<u64>, peers: u64) -> Vec<(u64, Vec<u64>)> {
    let mut shares: Vec<(u64, Vec<u64>)> = Vec::new();
    let most = keys.len();
    for key in keys {
        // The high bits of a spread key, scaled: no division.
        let worker = ((key.wrapping_mul(SPREAD) >> 32) * peers) >> 32;
        if let Some((_, share)) = shares.iter_mut().find(|(other, _)| *other == worker) {
            share.push(key);
        } else {
            let mut share = Vec::with_capacity(most);
            share.push(key);
            shares.push((worker, share));
        }
    }
    shares
}

/// Those that `ours` takes, and the others; nothing is copied.
fn apart<D, A, B>(
    all: VecCollection<'_, Epoch, D>,
    ours: impl Fn(D) -> std::result::Result<A, B> + 'static,
) -> (VecCollection<'_, Epoch, A>, VecCollection<'_, Epoch, B>)
where
    D: ExchangeData,
    A: ExchangeData,
    B: ExchangeData,
{
    let (ours, others) = all.inner.ok_err(move |(data, epoch, diff)| match ours(data) {
        Ok(data) => Ok((data, epoch, diff)),
        Err(data) => Err((data, epoch, diff)),
    });
    (ours.as_collection(), others.as_collection())
}

/// What changes of the clusters that a delta touches: their survivors and near duplicates, at epoch 1.
fn touched_clusters<'s, R: Stored>(
    ctx: &Durable,
    closed: VecCollection<'s, Epoch, Closed<R>>,
    by_node: impl Fn(Node) -> u64 + Copy + 'static,
) -> (VecCollection<'s, Epoch, (Node, R)>, VecCollection<'s, Epoch, (Node, R)>) {
    let name = |what: &str| ctx.name(what);
    let stop = &ctx.stop;
    let (affected, closed) = apart(closed, |out| match out {
        Closed::Label(label) => Ok(label),
        other => Err(other),
    });
    let stood =
        gathered(&name("members"), affected, move |label| by_node(*label), stop, Members::<R>::new(ctx));
    let (stood_labels, stood) = apart(stood, |out| match out {
        Stood::Label(node, label) => Ok((node, label)),
        other => Err(other),
    });
    let (new_edges, closed) = apart(closed, |out| match out {
        Closed::Edge(a, b) => Ok((a, b)),
        other => Err(other),
    });
    let (stood_edges, stood) = apart(stood, |out| match out {
        Stood::Edge(a, b) => Ok((a, b)),
        other => Err(other),
    });
    let edges = new_edges.concat(stood_edges);
    let leasts = closed
        .flat_map(|out| match out {
            Closed::Least(node, row) => Some((node, row)),
            _ => None,
        })
        .concat(stood.flat_map(|out| match out {
            Stood::Least(node, row) => Some((node, row)),
            _ => None,
        }));
    let labels = components(ctx.stage, edges);
    ctx.check.compare(labels.clone(), stood_labels);
    let changed = labels.clone().inner.filter(|(_, epoch, _)| *epoch == NOW).as_collection();
    gathered(&name("labels"), changed, move |(node, _)| by_node(*node), stop, Labelled::new(ctx));

    let labels = labels.arrange_by_key_named(&name("cluster_of"));
    let rows = leasts.clone().arrange_by_key_named(&name("rows"));
    let members = rows.join_core(labels, |node, row, label| Some((*label, (*node, row.clone()))));
    let near = reduce(&name("near"), members, |_label, members, out| {
        let survivor = members.iter().map(|((_, row), _)| row).min();
        let lost = members.iter().filter(|((_, row), _)| Some(row) != survivor);
        out.extend(lost.map(|(member, count)| ((*member).clone(), *count)));
    })
    .map(|(_label, member)| member);
    let survivors = leasts.concat(near.clone().negate());
    let now = |rows: VecCollection<'s, Epoch, (Node, R)>| {
        rows.inner.filter(|(_, epoch, _)| *epoch == NOW).as_collection()
    };
    (now(survivors), now(near))
}

/// An odd constant without structure: spreads keys over workers.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_goes_to_one_worker_that_is_there(
            keys in prop::collection::btree_set(any::<u64>(), 0..60),
            peers in 1..300_u64,
        ) {
            let keys: Vec<u64> = keys.into_iter().collect();
            let shares = shares(keys.clone(), peers);
            let mut all: Vec<u64> = shares.iter().flat_map(|(_, share)| share.iter().copied()).collect();
            all.sort_unstable();
            prop_assert_eq!(&all, &keys);
            for (at, (worker, share)) in shares.iter().enumerate() {
                prop_assert!(*worker < peers && shares.iter().skip(at + 1).all(|(other, _)| other != worker));
                // Whatever comes with it: another node with the key meets it there.
                for key in share {
                    prop_assert_eq!(&super::shares(vec![*key], peers), &vec![(*worker, vec![*key])]);
                }
            }
        }
    }
}
