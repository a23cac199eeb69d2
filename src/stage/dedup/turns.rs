//! Hands updates to an operator epoch by epoch, without waiting for an epoch to end.
//!
//! **Why**: the operators in front keep a plain table, which is right only if all of an epoch has gone in
//! before the next begins. Updates of the least open epoch are handed on at once (a run is one long epoch,
//! and nothing may pile up in front of the table); those of later epochs wait until the frontier reaches them.

use crate::model::Epoch;
use std::collections::BTreeMap;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

/// Updates of one epoch, and one capability for it per output.
pub(super) struct Turn<D> {
    /// The epoch.
    pub(super) epoch: Epoch,
    /// For output 0, 1 and so on.
    pub(super) capabilities: Vec<Capability<Epoch>>,
    /// Any order, not consolidated.
    pub(super) updates: Vec<(D, isize)>,
}

/// What waits for its turn.
pub(super) struct Turns<D> {
    outputs: usize,
    waiting: BTreeMap<Epoch, Turn<D>>,
}

impl<D> Turns<D> {
    /// For an operator with so many outputs.
    pub(super) fn new(outputs: usize) -> Self {
        Self { outputs, waiting: BTreeMap::new() }
    }

    /// Takes in a message.
    pub(super) fn take_in(&mut self, held: &InputCapability<Epoch>, updates: &mut Vec<(D, Epoch, isize)>) {
        let outputs = self.outputs;
        for (data, epoch, diff) in updates.drain(..) {
            let turn = self.waiting.entry(epoch).or_insert_with(|| Turn {
                epoch,
                capabilities: (0..outputs).map(|output| held.delayed(&epoch, output)).collect(),
                updates: Vec::new(),
            });
            turn.updates.push((data, diff));
        }
    }

    /// The updates whose turn it is, in epoch order: nothing of an earlier epoch can follow them.
    pub(super) fn due(&mut self, frontier: &MutableAntichain<Epoch>) -> Vec<Turn<D>> {
        let later = match frontier.frontier().first() {
            Some(open) => self.waiting.split_off(&open.saturating_add(1)),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }
}
