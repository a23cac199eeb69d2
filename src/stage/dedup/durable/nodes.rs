//! Rows to nodes: which contents come or go, which row of each is the least, and which rows repeat it.

use super::{Durable, NODE, Node, Stored, prefix_of};
use crate::error::{Error, Result};
use crate::model::Signature;
use crate::stage::dedup::table::cut;
use crate::stage::gather::{Gather, Give};
use crate::state::run::Carried;
use crate::state::sorter::Sorter;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum NodeOut<R> {
    /// It comes to bands, or leaves them.
    Bands { keys: Vec<u64>, node: u64 },
    /// A row repeats its content, or no longer does.
    Exact(Node, R),
    /// Its least row changes; `None` where it is not there.
    Least { node: Node, old: Option<R>, new: Option<R> },
    /// Sketches that came or went, for another process: its first worker takes them.
    Sketches(u64, Box<Carried>),
}

pub(super) struct Nodes<R> {
    ctx: Durable,
    sorter: Sorter,
    key: Vec<u8>,
    of: PhantomData<fn(R)>,
}

impl<R: Stored> Nodes<R> {
    pub(super) fn new(ctx: &Durable) -> Self {
        let sorter = ctx.tables.sorter("rows", NODE + R::WIDTH + ctx.shape.width());
        Self { ctx: ctx.clone(), sorter, key: Vec::new(), of: PhantomData }
    }
}

impl<R: Stored> Gather for Nodes<R> {
    type In = (Node, Signature, R);
    type Out = NodeOut<R>;

    fn take(&mut self, (node, signature, row): Self::In, diff: isize) -> Result<()> {
        self.key.clear();
        self.key.extend_from_slice(&node.to_be_bytes());
        row.put(&self.ctx.tables.codec, &mut self.key);
        self.ctx.shape.put(&signature, &mut self.key)?;
        self.sorter.push(&self.key, i32::try_from(diff).unwrap_or(i32::MAX))
    }

    fn work(self, out: &mut Give<'_, NodeOut<R>>) -> Result<()> {
        let Self { ctx, sorter, .. } = self;
        let sorted = sorter.finish()?;
        let mut delta = sorted.read()?;
        let mut docs = ctx.table("docs").finder()?;
        let mut docs_run = ctx.tables.store.writer(NODE + R::WIDTH);
        let mut sketches_run = ctx.tables.store.writer(NODE + ctx.shape.sketch);
        let mut node = [0; NODE];
        let mut signature = Vec::new();
        let mut changes: Vec<(Vec<u8>, i32)> = Vec::new();
        let mut more = delta.next()?;
        while more {
            node.copy_from_slice(&delta.key()[..NODE]);
            signature.clear();
            signature.extend_from_slice(&delta.key()[NODE + R::WIDTH..]);
            changes.clear();
            while more && delta.key().starts_with(&node) {
                changes.push((delta.key()[NODE..NODE + R::WIDTH].to_vec(), delta.count()));
                docs_run.push(&delta.key()[..NODE + R::WIDTH], delta.count())?;
                more = delta.next()?;
            }
            let mut old: Vec<Vec<u8>> = Vec::new();
            docs.find(&node, |key, _| old.push(key[NODE..].to_vec()))?;
            let new = changed(&old, &changes)?;
            let id = u128::from_be_bytes(node);
            let come = isize::from(!new.is_empty()) - isize::from(!old.is_empty());
            if come != 0 {
                let Signature { bands, sketch } = ctx.shape.take(&mut signature.as_slice());
                let mut key = node.to_vec();
                key.extend_from_slice(&sketch);
                sketches_run.push(&key, if come > 0 { 1 } else { -1 })?;
                out.now(NodeOut::Bands { keys: keys_of(bands), node: prefix_of(id) }, come)?;
            }
            let row = |bytes: &Vec<u8>| R::take(&ctx.tables.codec, bytes);
            if old.first() != new.first() {
                let (old, new) = (old.first().map(row), new.first().map(row));
                out.now(NodeOut::Least { node: id, old, new }, 1)?;
            }
            let (old, new) = (old.get(1..).unwrap_or_default(), new.get(1..).unwrap_or_default());
            for gone in old.iter().filter(|bytes| new.binary_search(bytes).is_err()) {
                out.now(NodeOut::Exact(id, row(gone)), -1)?;
            }
            for come in new.iter().filter(|bytes| old.binary_search(bytes).is_err()) {
                out.now(NodeOut::Exact(id, row(come)), 1)?;
            }
        }
        ctx.tables.store.add(&ctx.name("docs"), docs_run.finish()?);
        let (run, meta) = sketches_run.finish()?;
        if run.rows() > 0 {
            for worker in ctx.tables.team.others() {
                out.now(NodeOut::Sketches(worker, Box::new(run.carried(meta.as_ref()))), 1)?;
            }
        }
        ctx.tables.store.add(&ctx.name("sketches"), (run, meta));
        Ok(())
    }
}

/// The distinct keys of a node, as the table in memory cuts them.
fn keys_of(mut bands: Vec<u64>) -> Vec<u64> {
    bands.iter_mut().for_each(|band| *band = cut(*band));
    bands.sort_unstable();
    bands.dedup();
    bands
}

/// The rows after the changes, both ascending.
fn changed(old: &[Vec<u8>], changes: &[(Vec<u8>, i32)]) -> Result<Vec<Vec<u8>>> {
    let mut new = old.to_vec();
    for (row, count) in changes {
        match (new.binary_search(row), count) {
            (Err(at), 1) => new.insert(at, row.clone()),
            (Ok(at), -1) => _ = new.remove(at),
            (found, count) => {
                return Err(Error::bug(format!(
                    "row comes or goes twice: there={}, count={count}",
                    found.is_ok()
                )));
            }
        }
    }
    Ok(new)
}
