//! Who stays: clusters and pairs by content become lists by place.
//!
//! **Why**: the dataflow speaks of contents and of labels that mean nothing outside of it. The survivor of a cluster is its
//! least place, a cluster is called after its survivor, and a pair stands at the least places of its two contents; the
//! copies of one content are pairs of their own, so the pairs of a cluster always join all of it.

use crate::error::{Error, Result};
use crate::model::{ContentId, Place};
use crate::sink::keep_list::{Member, Pair};
use crate::stage::dedup::{Membership, Resembling};
use crate::workers::side_by_side;

/// The clusters of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Every row of every cluster, by (survivor, place).
    pub(crate) members: Vec<Member>,
    /// Every pair, by places.
    pub(crate) pairs: Vec<Pair>,
    /// Rows that go, by place.
    pub(crate) gone: Vec<Place>,
    /// How many of these have a content that stands at a lesser place.
    pub(crate) exact: u64,
    /// Clusters.
    pub(crate) clusters: u64,
}

/// All of [`Resemblance`](Pair::resemblance).
const WHOLE: i64 = 1_000_000;

/// Resolves what the workers found: each row and pair once, in any order.
///
/// # Errors
/// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the collections are none of whole clusters.
pub(crate) fn resolve(members: Vec<Membership>, pairs: Vec<Resembling>) -> Result<Resolved> {
    let rows: Vec<_> = members.iter().map(|member| (member.content, member.place)).collect();
    let ((pairs, exact), (members, clusters)) =
        side_by_side("pairs", || pairs_of(rows, pairs), || members_of(members))?;
    let gone = members.iter().filter(|member| member.place != member.survivor);
    let mut gone: Vec<Place> = gone.map(|member| member.place).collect();
    gone.sort_unstable();
    Ok(Resolved { members, pairs, gone, exact, clusters })
}

fn broken(what: &str) -> Error {
    Error::bug(format!("clusters do not add up: {what}"))
}

/// Every pair, by places, and how many rows repeat the content of a lesser place.
fn pairs_of(mut rows: Vec<(ContentId, Place)>, resembling: Vec<Resembling>) -> Result<(Vec<Pair>, u64)> {
    rows.sort_unstable();
    // The least place of every content, and its copies as pairs.
    let mut leasts: Vec<(ContentId, Place)> = Vec::new();
    let (mut pairs, mut exact) = (Vec::new(), 0);
    for copies in rows.chunk_by(|a, b| a.0 == b.0) {
        let Some((least, others)) = copies.split_first() else { continue };
        leasts.push(*least);
        exact += others.len() as u64;
        pairs.extend(others.iter().map(|other| Pair { one: least.1, other: other.1, resemblance: WHOLE }));
    }
    let least_of = |content: ContentId| {
        let at = leasts.binary_search_by_key(&content, |(content, _)| *content);
        at.ok().and_then(|at| leasts.get(at)).map(|(_, place)| *place)
    };
    for Resembling { one, other, resemblance } in resembling {
        let (Some(one), Some(other)) = (least_of(one), least_of(other)) else {
            return Err(broken("a pair stands outside of every cluster"));
        };
        pairs.push(Pair { one: one.min(other), other: one.max(other), resemblance });
    }
    pairs.sort_unstable();
    Ok((pairs, exact))
}

/// Every row of every cluster, by (survivor, place), and how many clusters there are.
fn members_of(mut rows: Vec<Membership>) -> Result<(Vec<Member>, u64)> {
    rows.sort_unstable_by_key(|member| (member.cluster, member.place));
    let (mut members, mut clusters) = (Vec::with_capacity(rows.len()), 0);
    for cluster in rows.chunk_by(|a, b| a.cluster == b.cluster) {
        let Some(least) = cluster.first() else { continue };
        if cluster.len() < 2 {
            return Err(broken("a cluster of one row"));
        }
        let size = u32::try_from(cluster.len()).unwrap_or(u32::MAX);
        let member = |member: &Membership| Member { survivor: least.place, place: member.place, size };
        members.extend(cluster.iter().map(member));
        clusters += 1;
    }
    members.sort_unstable();
    Ok((members, clusters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(cluster: u128, content: u128, row: u32) -> Membership {
        Membership { cluster, content, place: Place::of_row(0, row) }
    }

    #[test]
    fn the_least_place_stays_and_copies_are_pairs() {
        let pair = |one, other| Resembling { one, other, resemblance: 900_000 };
        let members =
            vec![member(1, 7, 5), member(1, 8, 2), member(1, 7, 9), member(2, 4, 6), member(2, 4, 3)];
        let resolved = resolve(members.clone(), vec![pair(7, 8)]).expect("whole clusters");
        let rows = |list: &[Place]| list.iter().map(|place| place.row).collect::<Vec<_>>();
        assert_eq!(rows(&resolved.gone), [5, 6, 9]);
        assert_eq!((resolved.exact, resolved.clusters), (2, 2));
        let pairs: Vec<_> =
            resolved.pairs.iter().map(|pair| (pair.one.row, pair.other.row, pair.resemblance)).collect();
        assert_eq!(pairs, [(2, 5, 900_000), (3, 6, WHOLE), (5, 9, WHOLE)]);
        let sizes: Vec<_> = resolved.members.iter().map(|m| (m.survivor.row, m.place.row, m.size)).collect();
        assert_eq!(sizes, [(2, 2, 3), (2, 5, 3), (2, 9, 3), (3, 3, 2), (3, 6, 2)]);
        let mut turned = members;
        turned.reverse();
        assert_eq!(resolve(turned, vec![pair(7, 8)]).expect("the same"), resolved);
    }

    #[test]
    fn what_is_no_cluster_is_a_bug_and_not_a_list() {
        assert!(resolve(vec![member(1, 7, 5)], Vec::new()).is_err());
        let stray = Resembling { one: 1, other: 2, resemblance: 1 };
        assert!(resolve(Vec::new(), vec![stray]).is_err());
    }
}
