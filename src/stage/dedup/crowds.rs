//! Edges inside a crowd: a band with too many nodes to verify every pair.
//!
//! **Why**: a plain star around the least node loses two members that resemble each other and not it. So a crowd
//! elects leaders: in hash order, each node is verified against the leaders so far and linked to the least one
//! that it resembles; if there is none it leads too. The result is a function of the set, near duplicates of one
//! text end linked, and the cost is nodes × leaders, with a bound on the leaders.

use super::edges::Edge;
use super::sketch::{Node, Sketch};

/// Elects leaders, node by node in ascending order.
///
/// Past `most` leaders a node that resembles no leader stays alone: its other bands must find its like.
pub(super) struct Leaders {
    elected: Vec<(Node, Sketch)>,
    least_resemblance: f64,
    most: u32,
}

impl Leaders {
    pub(super) fn new(least_resemblance: f64, most: u32) -> Self {
        Self { elected: Vec::new(), least_resemblance, most }
    }

    /// The link of the next node, if it does not lead, with its resemblance in millionths.
    pub(super) fn meet(&mut self, node: Node, sketch: &Sketch) -> Option<Edge> {
        let like = |(leader, of_leader): &(Node, Sketch)| {
            Some((*leader, of_leader.resembling(sketch, self.least_resemblance)?))
        };
        if let Some((leader, resemblance)) = self.elected.iter().find_map(like) {
            return Some((leader, node, resemblance));
        }
        if self.elected.len() < self.most as usize {
            self.elected.push((node, sketch.clone()));
        }
        None
    }
}

/// The links of one crowd, given in ascending order of nodes.
pub(super) fn links<'a>(
    members: impl Iterator<Item = (Node, &'a Sketch)>,
    least_resemblance: f64,
    most_leaders: u32,
) -> Vec<Edge> {
    let mut leaders = Leaders::new(least_resemblance, most_leaders);
    members.filter_map(|(node, sketch)| leaders.meet(node, sketch)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    #[test]
    fn a_hub_that_resembles_nobody_hides_no_pair() {
        let of = |sketch: u8| Sketch::split(Signature { bands: Vec::new(), sketch: vec![sketch; 8] }).0;
        let (hub, a, b) = (of(1), of(2), of(3));
        let crowd = [(1, &hub), (2, &a), (3, &b), (4, &a), (5, &b), (6, &a)];
        let whole = 1_000_000;
        assert_eq!(links(crowd.into_iter(), 0.9, 10), [(2, 4, whole), (3, 5, whole), (2, 6, whole)]);
        assert_eq!(links(crowd.into_iter(), 0.9, 2), [(2, 4, whole), (2, 6, whole)]);
    }
}
