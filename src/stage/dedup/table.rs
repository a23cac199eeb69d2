//! Which nodes hold which band keys, in 8 bytes a key: who meets whom, kept up to date by hand.
//!
//! **Why**: nearly every band key is held by one node for ever. An arrangement would spend 48 bytes and a sort
//! on each; here a key costs one slot, and nothing leaves the table until two nodes share a key.
//!
//! What the table lets out is a function of what it holds: a key with one node gives nothing, one with up to
//! `whole` nodes gives every pair, one with more gives its members (a crowd). Each update emits the difference
//! of that function, so sums are right under insertion and retraction in any order of whole updates.
//!
//! Keys are cut to [`KEY_BITS`] bits: a segment by the top bits, a tag of 32 bits that a slot stores. The cut is
//! the same for every table, so it changes which pairs are verified (about 11 more per million fragments) but
//! not with the order of arrival, the number of workers or the size of the table.

use super::groups::Groups;
use super::interner::Interner;
use super::segment::Segment;
use super::sketch::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a band key that count.
pub(super) const KEY_BITS: u32 = 44;
const SEGMENT_BITS: u32 = KEY_BITS - 32;

/// Who meets whom: an update of the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    /// Two nodes, the lesser first, share a key with few nodes.
    Pair(Node, Node),
    /// A node is in the crowd of a key.
    Crowd(u64, Node),
}

/// A band key, mixed and cut.
pub(super) fn cut(key: u64) -> u64 {
    let mut mixed = key;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ (mixed >> 33)) >> (64 - KEY_BITS)
}

/// Keys of one worker. A slot is a tag (high half) and what holds the key (low half): 0 is an empty slot, below
/// [`GROUP`] the number of a node + 1, from there on the head of a group, [`CROWD`] a crowd.
pub(super) struct Table {
    whole: u32,
    segments: Vec<Segment>,
    nodes: Interner,
    groups: Groups,
    crowds: BTreeMap<u64, BTreeSet<u32>>,
}

const GROUP: u32 = 1 << 31;
const CROWD: u32 = u32::MAX;

impl Table {
    /// A table that pairs the nodes of a key while there are at most `whole`.
    pub(super) fn new(whole: u32) -> Self {
        Self {
            whole: whole.max(2),
            segments: (0..1 << SEGMENT_BITS).map(|_| Segment::default()).collect(),
            nodes: Interner::default(),
            groups: Groups::default(),
            crowds: BTreeMap::new(),
        }
    }

    /// A node appears or goes, with its distinct [`cut`] keys. Appearance and departure of a node alternate.
    pub(super) fn update(&mut self, node: Node, keys: &[u64], here: bool, mut emit: impl FnMut(Met, isize)) {
        // A node that goes keeps its number until its keys are out of the table.
        let (number, ..) = self.nodes.add(node, 1);
        for key in keys {
            if here {
                self.insert(*key, number, &mut emit);
            } else {
                self.remove(*key, number, &mut emit);
            }
        }
        self.nodes.add(node, if here { 0 } else { -2 });
    }

    fn insert(&mut self, key: u64, number: u32, emit: &mut impl FnMut(Met, isize)) {
        let (segment, tag) = split(key);
        let segment = &mut self.segments[segment];
        let Some(at) = segment.find(tag) else {
            segment.insert(tag, number + 1);
            return;
        };
        let node = self.nodes.node(number);
        match segment.held(at) {
            CROWD => {
                self.crowds.entry(key).or_default().insert(number);
                emit(Met::Crowd(key, node), 1);
            }
            held @ GROUP.. => {
                let group = held - GROUP;
                let members = self.groups.members(group);
                if self.groups.count(group) < self.whole {
                    members.for_each(|other| emit(pair(node, self.nodes.node(other)), 1));
                    self.groups.push(group, number);
                } else {
                    let mut crowd: Vec<u32> = members.collect();
                    pairs(&self.nodes, &crowd, -1, emit);
                    crowd.push(number);
                    for member in &crowd {
                        emit(Met::Crowd(key, self.nodes.node(*member)), 1);
                    }
                    self.groups.free(group);
                    segment.hold(at, CROWD);
                    self.crowds.insert(key, crowd.into_iter().collect());
                }
            }
            held => {
                let group = self.groups.start(held - 1, number);
                segment.hold(at, GROUP + group);
                emit(pair(node, self.nodes.node(held - 1)), 1);
            }
        }
    }

    fn remove(&mut self, key: u64, number: u32, emit: &mut impl FnMut(Met, isize)) {
        let (segment, tag) = split(key);
        let segment = &mut self.segments[segment];
        let Some(at) = segment.find(tag) else {
            debug_assert!(false, "a node that goes is here");
            return;
        };
        let node = self.nodes.node(number);
        match segment.held(at) {
            CROWD => {
                let crowd = self.crowds.entry(key).or_default();
                crowd.remove(&number);
                emit(Met::Crowd(key, node), -1);
                if crowd.len() == self.whole as usize {
                    let members: Vec<u32> = std::mem::take(crowd).into_iter().collect();
                    self.crowds.remove(&key);
                    for member in &members {
                        emit(Met::Crowd(key, self.nodes.node(*member)), -1);
                    }
                    let group = self.groups.start(members[0], members[1]);
                    for member in &members[2..] {
                        self.groups.push(group, *member);
                    }
                    segment.hold(at, GROUP + group);
                    pairs(&self.nodes, &members, 1, emit);
                }
            }
            held @ GROUP.. => {
                let group = held - GROUP;
                self.groups.remove(group, number);
                self.groups.members(group).for_each(|other| emit(pair(node, self.nodes.node(other)), -1));
                if self.groups.count(group) == 1 {
                    let last = self.groups.members(group).next().unwrap_or_default();
                    self.groups.free(group);
                    segment.hold(at, last + 1);
                }
            }
            _ => segment.remove(at),
        }
    }
}

fn pairs(nodes: &Interner, members: &[u32], diff: isize, emit: &mut impl FnMut(Met, isize)) {
    for (i, a) in members.iter().enumerate() {
        for b in &members[i + 1..] {
            emit(pair(nodes.node(*a), nodes.node(*b)), diff);
        }
    }
}

fn pair(a: Node, b: Node) -> Met {
    Met::Pair(a.min(b), a.max(b))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cut key has 44 bits: 12 for the segment, 32 for the tag"
)]
fn split(key: u64) -> (usize, u32) {
    ((key >> 32) as usize, key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected(held: &BTreeMap<Node, BTreeSet<u64>>, whole: usize) -> BTreeMap<Met, isize> {
        let mut by_key: BTreeMap<u64, Vec<Node>> = BTreeMap::new();
        for (node, keys) in held {
            for key in keys {
                by_key.entry(*key).or_default().push(*node);
            }
        }
        let mut met = BTreeMap::new();
        for (key, nodes) in by_key {
            for (i, a) in nodes.iter().enumerate() {
                if nodes.len() > whole {
                    *met.entry(Met::Crowd(key, *a)).or_default() += 1;
                } else {
                    nodes[i + 1..].iter().for_each(|b| *met.entry(Met::Pair(*a, *b)).or_default() += 1);
                }
            }
        }
        met
    }

    proptest! {
        #[test]
        fn what_the_table_lets_out_is_a_function_of_what_it_holds(
            script in prop::collection::vec((0..12u128, prop::collection::btree_set(0..9u64, 0..5)), 0..120),
            whole in 2..6u32,
            crammed in any::<bool>(),
        ) {
            let mut table = Table::new(whole);
            let mut held: BTreeMap<Node, BTreeSet<u64>> = BTreeMap::new();
            let mut met: BTreeMap<Met, isize> = BTreeMap::new();
            for (node, keys) in script {
                // Crammed: all keys in one segment, so that probing wraps and holes are filled.
                let keys: BTreeSet<u64> = keys.into_iter().map(|key| if crammed { key } else { cut(key) }).collect();
                let (keys, here) = held.remove(&node).map_or((keys, true), |old| (old, false));
                let list: Vec<u64> = keys.iter().copied().collect();
                table.update(node, &list, here, |what, diff| *met.entry(what).or_default() += diff);
                if here {
                    held.insert(node, keys);
                }
                met.retain(|_, count| *count != 0);
                prop_assert_eq!(&met, &expected(&held, whole as usize));
            }
            prop_assert_eq!(table.nodes.live(), held.len());
        }
    }

    #[test]
    fn many_keys_are_found_again_and_all_space_is_given_back() {
        let mut table = Table::new(64);
        let keys = |node: u64| (0..20).map(|band| cut(node * 20 + band)).collect::<Vec<_>>();
        for node in 0..20_000 {
            table.update(Node::from(node), &keys(node), true, |what, _| panic!("{what:?}"));
        }
        let mut met = 0;
        table.update(1 << 90, &keys(77), true, |_, diff| met += diff);
        assert_eq!(met, 20);
        table.update(1 << 90, &keys(77), false, |_, diff| met += diff);
        assert_eq!(met, 0);
        for node in 0..20_000 {
            table.update(Node::from(node), &keys(node), false, |what, _| panic!("{what:?}"));
        }
        assert!(table.segments.iter().all(Segment::is_clear));
        assert!(table.groups.is_clear());
    }
}
