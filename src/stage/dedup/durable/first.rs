//! The clusters of a first load: nothing stood before, so nothing has to be compared with it.
//!
//! **Why**: differential keeps every edge and every row of a cluster in memory, to take them back one day. A first load takes
//! nothing back, so sorting and one union-find do: 24 bytes of memory per node with an edge, on one worker, and the
//! sorters. The labels are those that [`components`](super::super::components) gives, so the next delta goes on from them.

use super::closure::Closed;
use super::labels::{Labelled, pair};
use super::{Durable, NODE, Node, Stored, apart, node_of};
use crate::error::{Error, Result};
use crate::model::Epoch;
use crate::stage::dedup::components::label;
use crate::stage::gather::{Gather, Give, gathered};
use crate::state::sorter::{Sorted, Sorter};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// Which least rows of clusters survive, and which do not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Elected<R> {
    Survivor(Node, R),
    Near(Node, R),
}

/// Survivors and near duplicates of all clusters.
pub(super) fn first<'s, R: Stored>(
    ctx: &Durable,
    closed: VecCollection<'s, Epoch, Closed<R>>,
    by_node: impl Fn(Node) -> u64 + Copy + 'static,
) -> (VecCollection<'s, Epoch, (Node, R)>, VecCollection<'s, Epoch, (Node, R)>) {
    let stop = &ctx.stop;
    let (edges, closed) = apart(closed, |out| match out {
        Closed::Edge(a, b) => Ok((a, b)),
        other => Err(other),
    });
    let labels = gathered(&ctx.name("union"), edges, |_| 0, stop, Union::new(ctx));
    gathered(&ctx.name("labels"), labels.clone(), move |(node, _)| by_node(*node), stop, Labelled::new(ctx));
    let met = labels.map(|(node, label)| Met::Label(node, label)).concat(closed.flat_map(|out| match out {
        Closed::Least(node, row) => Some(Met::Least(node, row)),
        _ => None,
    }));
    let rows = gathered(&ctx.name("meet"), met, move |met| by_node(met.node()), stop, Meet::new(ctx));
    let elected =
        gathered(&ctx.name("elect"), rows, move |(label, ..)| by_node(*label), stop, Elect::new(ctx));
    apart(elected, |out| match out {
        Elected::Survivor(node, row) => Ok((node, row)),
        Elected::Near(node, row) => Err((node, row)),
    })
}

fn once(diff: isize) -> Result<()> {
    if diff > 0 {
        Ok(())
    } else {
        Err(Error::bug(format!("a first load takes something back: count={diff}")))
    }
}

/// Edges to the label of each of their nodes.
struct Union {
    edges: Sorter,
}

impl Union {
    fn new(ctx: &Durable) -> Self {
        Self { edges: ctx.tables.sorter("union", 2 * NODE) }
    }
}

impl Gather for Union {
    type In = (Node, Node);
    type Out = (Node, u128);

    fn take(&mut self, (a, b): Self::In, diff: isize) -> Result<()> {
        once(diff)?;
        self.edges.push_once(&pair(a, b))?;
        self.edges.push_once(&pair(b, a))
    }

    fn work(self, out: &mut Give<'_, (Node, u128)>) -> Result<()> {
        let sorted = self.edges.finish()?;
        let mut nodes: Vec<Node> = Vec::with_capacity(distinct(&sorted)?);
        let mut edges = sorted.read()?;
        while edges.next()? {
            let node = node_of(edges.key());
            if nodes.last() != Some(&node) {
                nodes.push(node);
            }
        }
        let many = u32::try_from(nodes.len())
            .map_err(|_| Error::bug(format!("more nodes with edges than numbers: {}", nodes.len())))?;
        let mut roots: Vec<u32> = (0..many).collect();
        let (mut edges, mut at) = (sorted.read()?, 0);
        while edges.next()? {
            let (node, other) = (node_of(edges.key()), node_of(&edges.key()[NODE..]));
            if node > other {
                continue;
            }
            at += nodes[at..].iter().take_while(|next| **next < node).count();
            let beyond = nodes.binary_search(&other).map_err(|_| Error::bug("an edge of one direction"))?;
            let (a, b) = (root(&mut roots, at), root(&mut roots, beyond));
            // The lesser node: any rule gives the same clusters.
            let (low, high) = (a.min(b), a.max(b));
            roots[high] = u32::try_from(low).unwrap_or(many);
        }
        // Of each root, the node whose label is the least.
        let mut least: Vec<u32> = (0..many).collect();
        for (at, number) in (0..many).enumerate() {
            let root = root(&mut roots, at);
            if label(nodes[at]) < label(nodes[least[root] as usize]) {
                least[root] = number;
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let of = least[root(&mut roots, at)];
            out.now((*node, label(nodes[of as usize])), 1)?;
        }
        Ok(())
    }
}

/// How many nodes have edges: counted first, so that no room is left over.
fn distinct(sorted: &Sorted) -> Result<usize> {
    let (mut edges, mut last, mut count) = (sorted.read()?, None, 0);
    while edges.next()? {
        let node = node_of(edges.key());
        count += usize::from(last != Some(node));
        last = Some(node);
    }
    Ok(count)
}

/// The root of a tree, halving the path to it.
fn root(roots: &mut [u32], mut at: usize) -> usize {
    while roots[at] as usize != at {
        roots[at] = roots[roots[at] as usize];
        at = roots[at] as usize;
    }
    at
}

/// What is known of a node in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Met<R> {
    Label(Node, u128),
    Least(Node, R),
}

impl<R> Met<R> {
    fn node(&self) -> Node {
        match self {
            Self::Label(node, _) | Self::Least(node, _) => *node,
        }
    }
}

/// The label of each least row.
struct Meet<R> {
    ctx: Durable,
    labels: Sorter,
    leasts: Sorter,
    of: PhantomData<fn(R)>,
}

impl<R: Stored> Meet<R> {
    fn new(ctx: &Durable) -> Self {
        let labels = ctx.tables.sorter("met", 2 * NODE);
        let leasts = ctx.tables.sorter("leasts", NODE + R::WIDTH);
        Self { ctx: ctx.clone(), labels, leasts, of: PhantomData }
    }
}

impl<R: Stored> Gather for Meet<R> {
    type In = Met<R>;
    type Out = (u128, Node, R);

    fn take(&mut self, met: Met<R>, diff: isize) -> Result<()> {
        once(diff)?;
        match met {
            Met::Label(node, label) => self.labels.push(&pair(node, label), 1),
            Met::Least(node, row) => {
                let mut key = node.to_be_bytes().to_vec();
                row.put(&self.ctx.tables.codec, &mut key);
                self.leasts.push(&key, 1)
            }
        }
    }

    fn work(self, out: &mut Give<'_, (u128, Node, R)>) -> Result<()> {
        let Self { ctx, labels, leasts, .. } = self;
        let (labels, leasts) = (labels.finish()?, leasts.finish()?);
        let (mut labels, mut leasts) = (labels.read()?, leasts.read()?);
        while leasts.next()? {
            let node = node_of(leasts.key());
            if !labels.next()? || node_of(labels.key()) != node {
                return Err(Error::bug("a node with edges has no label"));
            }
            let row = R::take(&ctx.tables.codec, &leasts.key()[NODE..]);
            out.now((node_of(&labels.key()[NODE..]), node, row), 1)?;
        }
        if labels.next()? {
            return Err(Error::bug("a label of no row"));
        }
        Ok(())
    }
}

/// The least row of each cluster.
struct Elect<R> {
    ctx: Durable,
    rows: Sorter,
    of: PhantomData<fn(R)>,
}

impl<R: Stored> Elect<R> {
    fn new(ctx: &Durable) -> Self {
        let rows = ctx.tables.sorter("elect", NODE + R::WIDTH + NODE);
        Self { ctx: ctx.clone(), rows, of: PhantomData }
    }
}

impl<R: Stored> Gather for Elect<R> {
    type In = (u128, Node, R);
    type Out = Elected<R>;

    fn take(&mut self, (label, node, row): Self::In, diff: isize) -> Result<()> {
        once(diff)?;
        let mut key = label.to_be_bytes().to_vec();
        row.put(&self.ctx.tables.codec, &mut key);
        key.extend_from_slice(&node.to_be_bytes());
        self.rows.push(&key, 1)
    }

    fn work(self, out: &mut Give<'_, Elected<R>>) -> Result<()> {
        let Self { ctx, rows, .. } = self;
        let sorted = rows.finish()?;
        let mut rows = sorted.read()?;
        let mut last = None;
        while rows.next()? {
            let label = node_of(rows.key());
            let row = R::take(&ctx.tables.codec, &rows.key()[NODE..NODE + R::WIDTH]);
            let node = node_of(&rows.key()[NODE + R::WIDTH..]);
            let elected =
                if last == Some(label) { Elected::Near(node, row) } else { Elected::Survivor(node, row) };
            out.now(elected, 1)?;
            last = Some(label);
        }
        Ok(())
    }
}
