//! Looks sketches up by the first bytes of their node, those of nodes that come and go with this delta too.

use super::{Durable, NODE, Node, node_of};
use crate::error::Result;
use crate::model::Signature;
use crate::stage::dedup::sketch::Sketch;
use crate::state::table::Finder;

pub(super) struct Sketches {
    before: Finder,
    added: Finder,
}

impl Sketches {
    /// Every worker has finished its nodes.
    pub(super) fn new(ctx: &Durable) -> Result<Self> {
        let added = ctx.tables.store.added(&ctx.name("sketches"));
        Ok(Self { before: ctx.table("sketches").finder()?, added: added.finder()? })
    }

    /// The nodes that begin so: one, but for a collision of 64 bits.
    pub(super) fn of(&mut self, prefix: u64) -> Result<Vec<(Node, Sketch)>> {
        let mut found = Vec::new();
        self.each(prefix, |node, sketch| {
            let signature = Signature { bands: Vec::new(), sketch: sketch.to_vec() };
            found.push((node, Sketch::split(signature).0));
        })?;
        Ok(found)
    }

    /// Calls `found` with each node that begins so, and its sketch. Best in the order of nodes.
    pub(super) fn each(&mut self, prefix: u64, mut found: impl FnMut(Node, &[u8])) -> Result<()> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut give = |node, key: &[u8]| found(node, key.get(NODE..).unwrap_or_default());
        self.before.find(&prefix.to_be_bytes(), |key, _| {
            nodes.push(node_of(key));
            give(node_of(key), key);
        })?;
        self.added.find(&prefix.to_be_bytes(), |key, count| {
            if count > 0 && !nodes.contains(&node_of(key)) {
                give(node_of(key), key);
            }
        })
    }
}
