//! Who stands in which cluster, and which pairs say so: what `isogloss dedup` publishes beside the rows that stay.
//!
//! **Why**: verdicts tell which rows go, not for whose sake. The graph is that of `cluster`; a content that several rows
//! share is an edge to itself here, so that its rows are a cluster even if nothing else resembles them.
//! **In** one row per document with its signature; may retract. **Out** [`Clusters`], not consolidated. **State** that of
//! dedup, less its verdicts. **Faults** none.

use super::bands::candidates;
use super::components::components;
use super::edges::edges;
use super::nodes::{Nodes, nodes};
use super::sketch::Node;
use super::state::MemoryDedup;
use crate::model::{ContentId, Epoch, Place, Signed};
use crate::stage::by_key::ByKey;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::ValBatcher;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Pipeline;

/// A row in a cluster of two rows or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// Names the cluster within this state: equal for all of its rows, different for those of others.
    pub cluster: u128,
    /// The content that stands at the place.
    pub content: ContentId,
    /// The place.
    pub place: Place,
}

/// Two contents that were verified to resemble each other, the lesser first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resembling {
    /// One content.
    pub one: ContentId,
    /// The other.
    pub other: ContentId,
    /// Their estimated Jaccard in millionths.
    pub resemblance: i64,
}

/// Clusters at every epoch.
pub struct Clusters<'s> {
    /// Every row of every cluster of two rows or more, once.
    pub members: VecCollection<'s, Epoch, Membership>,
    /// Every verified pair, once per band that gave it.
    pub pairs: VecCollection<'s, Epoch, Resembling>,
}

/// Finds the clusters among all documents it knows: in memory, or (a durable form) on disk.
pub trait ClusterState {
    /// Wires the search into the dataflow of `rows`.
    fn clusters<'s>(&self, rows: VecCollection<'s, Epoch, Signed>) -> Clusters<'s>;
}

impl ClusterState for MemoryDedup {
    fn clusters<'s>(&self, rows: VecCollection<'s, Epoch, Signed>) -> Clusters<'s> {
        let rows = rows.map(|Signed { row, signature }| (row.content, signature, row.place));
        let Nodes { rows, sketches, meetings, shared } = nodes("dedup", rows);
        let candidates = candidates("dedup", meetings, self.settings.whole_band);
        let edges = edges("dedup", candidates, sketches, &self.settings);
        let joined =
            edges.clone().map(|(one, other, _)| (one, other)).concat(shared.map(|node| (node, node)));
        let labels = components("dedup", joined).arrange_by_key_named("dedup/cluster_of");
        // Rows lie where the hash of their node puts them already.
        let by_node: ByKey<'s, Node, Place> =
            arrange_core(rows.inner, Pipeline, "dedup/rows", ValBatcher::new);
        let members = by_node.join_core(labels, |content, place, cluster| {
            Some(Membership { cluster: *cluster, content: *content, place: *place })
        });
        let pairs = edges.map(|(one, other, resemblance)| Resembling { one, other, resemblance });
        Clusters { members, pairs }
    }
}
