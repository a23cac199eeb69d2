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
        let mut found: Vec<(Node, Sketch)> = Vec::new();
        let sketch = |key: &[u8]| {
            let sketch = key.get(NODE..).unwrap_or_default().to_vec();
            (node_of(key), Sketch::split(Signature { bands: Vec::new(), sketch }).0)
        };
        self.before.find(&prefix.to_be_bytes(), |key, _| found.push(sketch(key)))?;
        self.added.find(&prefix.to_be_bytes(), |key, count| {
            if count > 0 && !found.iter().any(|(node, _)| *node == node_of(key)) {
                found.push(sketch(key));
            }
        })?;
        Ok(found)
    }
}
