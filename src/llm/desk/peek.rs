//! What the journal lacks: counted for a plan, asked of nobody.

use super::meter::served;
use crate::llm::{Role, Usage};
use crate::model::Lang;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Asks that would be put to an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub asks: u64,
    /// Tokens that they read, about, and the most that they may write.
    pub usage: Usage,
    /// Characters that they send.
    pub characters: u64,
}

/// Counts them by role and lang. A desk that has one asks nobody: a row whose answer is missing ends there, unanswered.
#[derive(Debug, Default)]
pub struct Peek {
    missed: Mutex<BTreeMap<(Role, Lang), Missed>>,
}

impl Peek {
    pub(super) fn missed(&self, role: Role, usage: Usage, characters: u64) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = missed.entry((role, served())).or_default();
        sum.asks += 1;
        sum.usage.input_tokens = sum.usage.input_tokens.saturating_add(usage.input_tokens);
        sum.usage.output_tokens = sum.usage.output_tokens.saturating_add(usage.output_tokens);
        sum.characters = sum.characters.saturating_add(characters);
    }

    /// What was counted since it was last taken.
    pub fn take(&self) -> BTreeMap<(Role, Lang), Missed> {
        std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
