//! Styles of instructions, drawn per id.

use crate::model::FragmentId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How an instruction is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// An order.
    Task,
    /// A direct question.
    Question,
    /// A few key words.
    SearchQuery,
    /// A message of somebody who says why they ask.
    Chat,
    /// A task with one constraint that is true of the text.
    Constraint,
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 5] = [Self::Task, Self::Question, Self::SearchQuery, Self::Chat, Self::Constraint];

    /// Its name in settings and prompts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Question => "question",
            Self::SearchQuery => "search_query",
            Self::Chat => "chat",
            Self::Constraint => "constraint",
        }
    }
}

/// The style of a fragment: a function of its id and the seed alone. A style listed twice is drawn twice as often.
/// Without any, [`Style::Task`].
pub fn instruction_style(id: FragmentId, seed: u64, styles: &[Style]) -> Style {
    // Another seed than that of samples, so that a sample does not favour a style.
    let tick = xxh3_64_with_seed(&id.to_le_bytes(), seed ^ 0x0073_7479_6c65);
    let place = usize::try_from(tick % (styles.len().max(1) as u64)).unwrap_or(0);
    styles.get(place).copied().unwrap_or(Style::Task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn styles_are_a_function_of_the_id_and_even() {
        let mut counts: BTreeMap<Style, usize> = BTreeMap::new();
        for id in 0..5000 {
            let style = instruction_style(id, 3, &Style::ALL);
            assert_eq!(style, instruction_style(id, 3, &Style::ALL));
            *counts.entry(style).or_default() += 1;
        }
        assert!(counts.len() == 5 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert!(
            (0..50).any(|id| instruction_style(id, 3, &Style::ALL) != instruction_style(id, 4, &Style::ALL))
        );
        assert_eq!(instruction_style(9, 0, &[]), Style::Task);
        assert!((0..50).all(|id| instruction_style(id, 3, &[Style::Chat]) == Style::Chat));
    }
}
