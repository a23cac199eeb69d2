//! Which clusters a delta touches, and what of it needs no cluster at all.

use super::{Durable, EDGE, NODE, Node, Stored, node_of};
use crate::error::Result;
use crate::stage::gather::{Gather, Give};
use crate::state::sorter::Sorter;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// What touches a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Touched<R> {
    /// An edge to another node comes or goes; the resemblance in millionths.
    Edge(Node, Node, i64),
    /// Its least row changes.
    Least(Node, Option<R>, Option<R>),
}

impl<R> Touched<R> {
    pub(super) fn node(&self) -> Node {
        match self {
            Self::Edge(node, ..) | Self::Least(node, ..) => *node,
        }
    }
}

/// What that leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Closed<R> {
    /// A change of the edges, the lesser node first.
    Edge(Node, Node),
    /// The least row of a node with edges: as it stood, or a change.
    Least(Node, R),
    /// A node without edges before and after: its least row survives.
    Alone(Node, R),
    /// A cluster that must be loaded.
    Label(u128),
}

pub(super) struct Closure<R> {
    ctx: Durable,
    edges: Sorter,
    leasts: Sorter,
    row: Vec<u8>,
    of: PhantomData<fn(R)>,
}

impl<R: Stored> Closure<R> {
    pub(super) fn new(ctx: &Durable) -> Self {
        Self {
            ctx: ctx.clone(),
            edges: ctx.tables.sorter("edges", EDGE),
            leasts: ctx.tables.sorter("leasts", NODE + 1 + 2 * R::WIDTH),
            row: Vec::new(),
            of: PhantomData,
        }
    }
}

impl<R: Stored> Gather for Closure<R> {
    type In = Touched<R>;
    type Out = Closed<R>;

    fn take(&mut self, touched: Touched<R>, diff: isize) -> Result<()> {
        let count = i32::try_from(diff).unwrap_or(i32::MAX);
        self.row.clear();
        self.row.extend_from_slice(&touched.node().to_be_bytes());
        match touched {
            Touched::Edge(_, other, resemblance) => {
                self.row.extend_from_slice(&other.to_be_bytes());
                let resemblance = u32::try_from(resemblance).unwrap_or(0);
                self.row.extend_from_slice(&resemblance.to_be_bytes());
                self.edges.push(&self.row, count)
            }
            Touched::Least(_, old, new) => {
                self.row.push(u8::from(old.is_some()) + 2 * u8::from(new.is_some()));
                for row in [old, new] {
                    let end = self.row.len() + R::WIDTH;
                    if let Some(row) = row {
                        row.put(&self.ctx.tables.codec, &mut self.row);
                    }
                    self.row.resize(end, 0);
                }
                self.leasts.push(&self.row, count)
            }
        }
    }

    fn work(self, out: &mut Give<'_, Closed<R>>) -> Result<()> {
        let Self { ctx, edges, leasts, .. } = self;
        let (edges, leasts) = (edges.finish()?, leasts.finish()?);
        let (mut edges, mut leasts) = (edges.read()?, leasts.read()?);
        let mut run = ctx.tables.store.writer(EDGE);
        let mut labels = ctx.table("labels").finder()?;
        let mut docs = ctx.table("docs").finder()?;
        let (mut more_edges, mut more_leasts) = (edges.next()?, leasts.next()?);
        while more_edges || more_leasts {
            let next = |more: bool, key: &[u8]| more.then(|| node_of(key));
            let nodes = [next(more_edges, edges.key()), next(more_leasts, leasts.key())];
            let Some(node) = nodes.into_iter().flatten().min() else { break };
            let mut has_edges = false;
            while more_edges && node_of(edges.key()) == node {
                has_edges = true;
                run.push(edges.key(), edges.count())?;
                let other = node_of(&edges.key()[NODE..]);
                if node < other {
                    out.now(Closed::Edge(node, other), edges.count() as isize)?;
                }
                more_edges = edges.next()?;
            }
            let mut change = None;
            if more_leasts && node_of(leasts.key()) == node {
                change = Some(change_of::<R>(&ctx, &leasts.key()[NODE..]));
                more_leasts = leasts.next()?;
            }
            let label = labels.first(&node.to_be_bytes())?.map(|row| node_of(&row[NODE..]));
            let Some(label) = label else {
                let Some((old, new)) = change else {
                    // It stood alone, and stays what it was.
                    let least =
                        docs.first(&node.to_be_bytes())?.map(|row| R::take(&ctx.tables.codec, &row[NODE..]));
                    if let Some(least) = least {
                        out.before(Closed::Least(node, least), 1)?;
                    }
                    continue;
                };
                for (row, diff) in [(old.clone(), -1), (new, 1)] {
                    let Some(row) = row else { continue };
                    if has_edges {
                        out.now(Closed::Least(node, row), diff)?;
                    } else {
                        out.now(Closed::Alone(node, row), diff)?;
                    }
                }
                if let Some(old) = old.filter(|_| has_edges) {
                    out.before(Closed::Least(node, old), 1)?;
                }
                continue;
            };
            out.before(Closed::Label(label), 1)?;
            if let Some((old, new)) = change {
                for (row, diff) in [(old, -1), (new, 1)] {
                    if let Some(row) = row {
                        out.now(Closed::Least(node, row), diff)?;
                    }
                }
            }
        }
        ctx.tables.store.add(&ctx.name("edges"), run.finish()?);
        Ok(())
    }
}

fn change_of<R: Stored>(ctx: &Durable, bytes: &[u8]) -> (Option<R>, Option<R>) {
    let (flags, rows) = bytes.split_first().unwrap_or((&0, &[]));
    let (old, new) = rows.split_at_checked(R::WIDTH).unwrap_or_default();
    let row = |there: bool, bytes: &[u8]| there.then(|| R::take(&ctx.tables.codec, bytes));
    (row(flags & 1 != 0, old), row(flags & 2 != 0, new))
}
