//! From a vector to the likeliest label: hierarchical softmax over a Huffman tree of the labels' counts.

use super::Vector;

/// A node: a label, or a decision between two nodes.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The less and the more frequent side; `None` for a label.
    sides: Option<(usize, usize)>,
    count: i64,
}

/// The labels, the tree over them and the vectors of its decisions.
#[derive(Debug)]
pub(super) struct Labels {
    names: Box<[Box<str>]>,
    nodes: Vec<Node>,
    decisions: Box<[Vector]>,
}

impl Labels {
    /// `counts` fall; there is at least one label, and a decision less than labels or more.
    pub(super) fn new(names: Box<[Box<str>]>, counts: &[i64], decisions: Box<[Vector]>) -> Self {
        Self { nodes: tree(counts), names, decisions }
    }

    /// The likeliest label and its probability.
    pub(super) fn likeliest(&self, text: &Vector) -> (&str, f32) {
        let root = self.nodes.len() - 1;
        let mut best = (0, f32::NEG_INFINITY);
        self.descend(root, 0.0, text, &mut best);
        (&self.names[best.0], best.1.exp())
    }

    /// The likelier side first, so that most of the tree is worse than what is found and left out.
    fn descend(&self, node: usize, log: f32, text: &Vector, best: &mut (usize, f32)) {
        if log < best.1 {
            return;
        }
        let Some((rare, frequent)) = self.nodes[node].sides else {
            *best = (node, log);
            return;
        };
        let decision = &self.decisions[node - self.names.len()];
        let yes = sigmoid(decision.iter().zip(text).map(|(a, b)| a * b).sum());
        let sides = [(frequent, log + floored_ln(yes)), (rare, log + floored_ln(1.0 - yes))];
        let [first, second] = if yes >= 0.5 { sides } else { [sides[1], sides[0]] };
        self.descend(first.0, first.1, text, best);
        self.descend(second.0, second.1, text, best);
    }
}

/// Joins the two rarest nodes until one is left (Huffman 1952), a label before a joint where counts are smaller.
fn tree(counts: &[i64]) -> Vec<Node> {
    let mut nodes: Vec<Node> = counts.iter().map(|count| Node { sides: None, count: *count }).collect();
    let (mut labels, mut joint) = (counts.len(), counts.len());
    while nodes.len() + 1 < 2 * counts.len() {
        let mut next = || {
            let joint_count = nodes.get(joint).map_or(i64::MAX, |node| node.count);
            if labels > 0 && nodes[labels - 1].count < joint_count {
                labels -= 1;
                labels
            } else {
                joint += 1;
                joint - 1
            }
        };
        let (rare, frequent) = (next(), next());
        let count = nodes[rare].count + nodes[frequent].count;
        nodes.push(Node { sides: Some((rare, frequent)), count });
    }
    nodes
}

/// fastText's logarithm, which stays finite at 0.
fn floored_ln(value: f32) -> f32 {
    (value + 1e-5).ln()
}

/// fastText's logistic function, which is flat beyond 8.
fn sigmoid(value: f32) -> f32 {
    if value < -8.0 {
        0.0
    } else if value > 8.0 {
        1.0
    } else {
        1.0 / (1.0 + (-value).exp())
    }
}
