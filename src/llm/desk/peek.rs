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

impl Missed {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            asks: self.asks - before.asks,
            usage: Usage {
                input_tokens: self.usage.input_tokens - before.usage.input_tokens,
                output_tokens: self.usage.output_tokens - before.usage.output_tokens,
            },
            characters: self.characters - before.characters,
        }
    }
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

    /// What was counted so far.
    pub fn all(&self) -> BTreeMap<(Role, Lang), Missed> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
