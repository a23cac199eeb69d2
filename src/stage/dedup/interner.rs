//! Small numbers for nodes, with a count each: 16 bytes of hash become 4 wherever a table refers to a node.

use super::sketch::Node;

/// Open addressing over a dense list. A node keeps its number as long as its count is not 0.
#[derive(Default)]
pub(super) struct Interner {
    /// Number + 1, or 0 for an empty slot. Linear probing, grown past three quarters.
    slots: Vec<u32>,
    nodes: Vec<Node>,
    counts: Vec<i32>,
    free: Vec<u32>,
}

/// An odd constant without structure: spreads what is not a hash yet.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Interner {
    /// Adds to the count of a node: its number, the count before and after. At 0 the number is given back.
    pub(super) fn add(&mut self, node: Node, diff: i32) -> (u32, i32, i32) {
        if (self.live() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let mut at = self.home(node);
        while let Some(number) = self.slots[at].checked_sub(1) {
            if self.nodes[number as usize] == node {
                let before = self.counts[number as usize];
                let after = before + diff;
                self.counts[number as usize] = after;
                if after == 0 {
                    self.remove(at);
                    self.free.push(number);
                }
                return (number, before, after);
            }
            at = self.after(at);
        }
        if diff == 0 {
            return (0, 0, 0);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(0);
            self.counts.push(0);
            u32::try_from(self.nodes.len() - 1).expect("under 2^32 nodes on one worker")
        });
        self.nodes[number as usize] = node;
        self.counts[number as usize] = diff;
        self.slots[at] = number + 1;
        (number, 0, diff)
    }

    /// The node of a number that is in use.
    pub(super) fn node(&self, number: u32) -> Node {
        self.nodes[number as usize]
    }

    /// Nodes that have a number.
    pub(super) fn live(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Where the search for a node starts.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves of the hash, then a product below the length"
    )]
    fn home(&self, node: Node) -> usize {
        let mixed = ((node as u64) ^ ((node >> 64) as u64).rotate_left(32)).wrapping_mul(SPREAD);
        ((u128::from(mixed) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Empties a slot and moves back what was displaced past it.
    fn remove(&mut self, mut gap: usize) {
        let length = self.slots.len();
        let mut at = self.after(gap);
        while let Some(number) = self.slots[at].checked_sub(1) {
            let home = self.home(self.nodes[number as usize]);
            if (at + length - home) % length >= (at + length - gap) % length {
                self.slots[gap] = number + 1;
                gap = at;
            }
            at = self.after(at);
        }
        self.slots[gap] = 0;
    }

    fn grow(&mut self) {
        let length = (self.slots.len() * 3 / 2).max(16);
        let old = std::mem::replace(&mut self.slots, vec![0; length]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = self.home(self.nodes[slot as usize - 1]);
            while self.slots[at] != 0 {
                at = self.after(at);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn counts_are_those_of_a_map(script in prop::collection::vec((0..40u128, -2..3i32), 0..400), shift in 0..100u32) {
            let mut interner = Interner::default();
            let mut counts: BTreeMap<Node, i32> = BTreeMap::new();
            let mut numbers: BTreeMap<Node, u32> = BTreeMap::new();
            for (node, diff) in script {
                let node = node << shift;
                let before = counts.get(&node).copied().unwrap_or(0);
                let (number, was, is) = interner.add(node, diff);
                prop_assert_eq!((was, is), (before, before + diff));
                if is != 0 {
                    counts.insert(node, is);
                    prop_assert_eq!(*numbers.entry(node).or_insert(number), number);
                } else {
                    counts.remove(&node);
                    numbers.remove(&node);
                }
                for (node, number) in &numbers {
                    prop_assert_eq!(interner.node(*number), *node);
                }
            }
        }
    }
}
