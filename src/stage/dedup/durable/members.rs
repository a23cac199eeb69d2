//! Loads touched clusters as they stood: nodes, edges, least rows.

use super::{Durable, NODE, Node, Stored, node_of};
use crate::error::Result;
use crate::stage::gather::{Gather, Give};
use crate::state::sorter::Sorter;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// What stood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Stood<R> {
    /// An edge, the lesser node first.
    Edge(Node, Node),
    /// The least row of a node.
    Least(Node, R),
    /// The label of a node, as the table has it.
    Label(Node, u128),
}

pub(super) struct Members<R> {
    ctx: Durable,
    labels: Sorter,
    of: PhantomData<fn(R)>,
}

impl<R: Stored> Members<R> {
    pub(super) fn new(ctx: &Durable) -> Self {
        Self { ctx: ctx.clone(), labels: ctx.tables.sorter("touched", NODE), of: PhantomData }
    }
}

impl<R: Stored> Gather for Members<R> {
    type In = u128;
    type Out = Stood<R>;

    fn take(&mut self, label: u128, _diff: isize) -> Result<()> {
        // Many nodes may name one cluster, more often than a count can say.
        self.labels.push_once(&label.to_be_bytes())
    }

    fn work(self, out: &mut Give<'_, Stood<R>>) -> Result<()> {
        let Self { ctx, labels, .. } = self;
        let sorted = labels.finish()?;
        let mut labels = sorted.read()?;
        let mut members = ctx.table("members").finder()?;
        let mut edges = ctx.table("edges").finder()?;
        let mut docs = ctx.table("docs").finder()?;
        let mut nodes = Vec::new();
        let mut others = Vec::new();
        while labels.next()? {
            nodes.clear();
            members.find(labels.key(), |row, _| nodes.push(node_of(&row[NODE..])))?;
            for node in &nodes {
                out.before(Stood::Label(*node, node_of(labels.key())), 1)?;
                others.clear();
                edges.find(&node.to_be_bytes(), |row, count| others.push((node_of(&row[NODE..]), count)))?;
                for (other, count) in &others {
                    if node < other {
                        out.before(Stood::Edge(*node, *other), *count as isize)?;
                    }
                }
                if let Some(row) = docs.first(&node.to_be_bytes())? {
                    out.before(Stood::Least(*node, R::take(&ctx.tables.codec, &row[NODE..])), 1)?;
                }
            }
        }
        Ok(())
    }
}
