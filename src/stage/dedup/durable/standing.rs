//! The clusters that stand once a delta is through, read off the tables from front to end.

use super::{Durable, NODE, Node, Stored, node_of};
use crate::error::{Error, Result};
use crate::stage::dedup::components::label;
use crate::stage::dedup::edges::Edge;
use crate::state::table::View;

/// A table with what the delta adds to it.
fn now(ctx: &Durable, what: &str) -> View {
    ctx.table(what).with(&ctx.tables.store.added(&ctx.name(what)))
}

/// Gives every row of every cluster of two rows or more with the cluster's label, once each. Memory: the rows of one content.
///
/// # Errors
/// Damage, a disk that fails, or [`ErrorKind::Bug`](crate::ErrorKind::Bug) if tables contradict each other.
pub(crate) fn standing_members<R: Stored>(
    ctx: &Durable,
    mut member: impl FnMut(u128, Node, R),
) -> Result<()> {
    let (mut docs, mut labels) = (now(ctx, "docs").scan(&[])?, now(ctx, "labels").scan(&[])?);
    let (mut more, mut more_labels) = (docs.next()?, labels.next()?);
    let mut rows: Vec<R> = Vec::new();
    while more {
        let node = node_of(docs.key());
        while more && node_of(docs.key()) == node {
            rows.push(R::take(&ctx.tables.codec, &docs.key()[NODE..]));
            more = docs.next()?;
        }
        let mut cluster = None;
        if more_labels && node_of(labels.key()) == node {
            cluster = Some(node_of(&labels.key()[NODE..]));
            more_labels = labels.next()?;
        }
        // Rows of one content are a cluster even if nothing else resembles them.
        let cluster = cluster.or_else(|| (rows.len() > 1).then(|| label(node)));
        let rows = rows.drain(..);
        if let Some(cluster) = cluster {
            rows.for_each(|row| member(cluster, node, row));
        }
    }
    if more_labels {
        return Err(Error::bug("a label of no row"));
    }
    Ok(())
}

/// Gives every verified pair, once each.
///
/// # Errors
/// Damage, or a disk that fails.
pub(crate) fn standing_pairs(ctx: &Durable, mut pair: impl FnMut(Edge)) -> Result<()> {
    let mut edges = now(ctx, "edges").scan(&[])?;
    while edges.next()? {
        let (one, rest) = edges.key().split_at(NODE);
        let (other, resemblance) = rest.split_at(NODE);
        let (one, other) = (node_of(one), node_of(other));
        if one < other {
            let resemblance = resemblance.try_into().map(u32::from_be_bytes).unwrap_or_default();
            pair((one, other, i64::from(resemblance)));
        }
    }
    Ok(())
}
