//! Who stays: clusters and pairs by content become lists by place.
//!
//! **Why**: the dataflow speaks of contents and of labels that mean nothing outside of it. The survivor of a cluster is its
//! least place, a cluster is called after its survivor, and a pair stands at the least places of its two contents; the
//! copies of one content are pairs of their own, so the pairs of a cluster always join all of it.

use crate::error::{Error, Result};
use crate::model::{ContentId, Place};
use crate::sink::keep_list::{Member, Pair};
use crate::stage::dedup::{Membership, Resembling};
use differential_dataflow::consolidation::consolidate;

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

/// Resolves what the workers found; order does not matter.
///
/// # Errors
/// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the collections are none of whole clusters.
pub(crate) fn resolve(
    mut members: Vec<(Membership, isize)>,
    mut pairs: Vec<(Resembling, isize)>,
) -> Result<Resolved> {
    consolidate(&mut members);
    consolidate(&mut pairs);
    let broken = |what: &str| Error::bug(format!("clusters do not add up: {what}"));
    if members.iter().any(|(_, count)| *count != 1) || pairs.iter().any(|(_, count)| *count < 1) {
        return Err(broken("a row or pair was counted wrongly"));
    }
    let mut members: Vec<Membership> = members.into_iter().map(|(member, _)| member).collect();
    let mut resolved = Resolved::default();

    // The least place of every content, and its copies as pairs.
    members.sort_unstable_by_key(|member| (member.content, member.place));
    let mut leasts: Vec<(ContentId, Place)> = Vec::new();
    for copies in members.chunk_by(|a, b| a.content == b.content) {
        let Some((least, others)) = copies.split_first() else { continue };
        leasts.push((least.content, least.place));
        resolved.exact += others.len() as u64;
        let pair = |other: &Membership| Pair { one: least.place, other: other.place, resemblance: WHOLE };
        resolved.pairs.extend(others.iter().map(pair));
    }
    let least_of = |content: ContentId| {
        let at = leasts.binary_search_by_key(&content, |(content, _)| *content);
        at.ok().and_then(|at| leasts.get(at)).map(|(_, place)| *place)
    };
    for (Resembling { one, other, resemblance }, _) in pairs {
        let (Some(one), Some(other)) = (least_of(one), least_of(other)) else {
            return Err(broken("a pair stands outside of every cluster"));
        };
        resolved.pairs.push(Pair { one: one.min(other), other: one.max(other), resemblance });
    }
    resolved.pairs.sort_unstable();

    members.sort_unstable_by_key(|member| (member.cluster, member.place));
    for cluster in members.chunk_by(|a, b| a.cluster == b.cluster) {
        let Some(least) = cluster.first() else { continue };
        if cluster.len() < 2 {
            return Err(broken("a cluster of one row"));
        }
        let size = u32::try_from(cluster.len()).unwrap_or(u32::MAX);
        let member = |member: &Membership| Member { survivor: least.place, place: member.place, size };
        resolved.members.extend(cluster.iter().map(member));
        resolved.clusters += 1;
    }
    resolved.members.sort_unstable();
    let gone = resolved.members.iter().filter(|member| member.place != member.survivor);
    resolved.gone = gone.map(|member| member.place).collect();
    resolved.gone.sort_unstable();
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(cluster: u128, content: u128, row: u32) -> (Membership, isize) {
        (Membership { cluster, content, place: Place::of_row(0, row) }, 1)
    }

    #[test]
    fn the_least_place_stays_and_copies_are_pairs() {
        let pair = |one, other| (Resembling { one, other, resemblance: 900_000 }, 3);
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
        assert!(resolve(Vec::new(), vec![(stray, 1)]).is_err());
        let (row, _) = member(1, 7, 5);
        assert!(resolve(vec![(row, 2)], Vec::new()).is_err());
    }
}
