//! Phrases that tell a notice from text, in the languages of the corpora; written for the project.
//!
//! **Why**: the lists are data (`data/quality`), so adding a language is adding lines. "Accept all cookies" has the shape of a sentence. Each phrase is one that prose on any subject is very
//! unlikely to hold in a short line.

use super::find::Finder;
use std::sync::Arc;

/// A set of phrases.
#[derive(Clone)]
pub struct Phrases(Arc<Finder>);

/// Short lines that hold one of these are left out, sentences too.
const NOTICES: &str = include_str!("../../../data/quality/notices.txt");

/// Lines without a sentence end that hold one of these are left out; sentences may well speak of them.
const LABELS: &str = include_str!("../../../data/quality/labels.txt");

impl Phrases {
    /// What tells a notice.
    pub fn notices() -> Self {
        Self::of(NOTICES)
    }

    /// What tells a label: a button, a link, a line of dates.
    pub fn labels() -> Self {
        Self::of(LABELS)
    }

    /// A set of phrases of six bytes or more in lower case, one a line, `#` before a comment; upper case and a first capital are found too.
    pub fn of(list: &str) -> Self {
        let phrases = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut forms: Vec<String> = Vec::new();
        for phrase in phrases {
            let mut chars = phrase.chars();
            let first = chars.next().map(|c| c.to_uppercase().chain(chars).collect());
            forms.extend(
                [Some((*phrase).to_owned()), Some(phrase.to_uppercase()), first].into_iter().flatten(),
            );
        }
        forms.sort_unstable();
        forms.dedup();
        Self(Arc::new(Finder::new(&forms)))
    }

    /// Whether one of them stands in the text, on word boundaries where the script has them.
    pub fn found(&self, text: &str) -> bool {
        self.0.find(text).any(|(start, end)| whole(text, start, end))
    }

    /// How many of them stand in the text; overlapping ones count once. What is part of a longer word hides none.
    pub fn count(&self, text: &str) -> usize {
        let (mut count, mut at) = (0, 0);
        for (start, end) in self.0.find(text).filter(|(start, end)| whole(text, *start, *end)) {
            if start >= at {
                (count, at) = (count + 1, end);
            }
        }
        count
    }
}

/// No letter of an alphabet goes on where the match ends or leads to where it starts.
fn whole(text: &str, start: usize, end: usize) -> bool {
    let joined = |outer: Option<char>, inner: Option<char>| {
        outer.zip(inner).is_some_and(|(outer, inner)| alphabetic(outer) && alphabetic(inner))
    };
    let before = text.get(..start).and_then(|head| head.chars().next_back());
    let first = text.get(start..).and_then(|tail| tail.chars().next());
    let last = text.get(..end).and_then(|head| head.chars().next_back());
    let after = text.get(end..).and_then(|tail| tail.chars().next());
    !joined(before, first) && !joined(last, after)
}

fn alphabetic(c: char) -> bool {
    c.is_alphabetic() && (c as u32) < 0x0e00
}

#[cfg(test)]
mod tests {
    use super::super::find::LEAST;
    use super::*;

    #[test]
    fn no_phrase_is_too_short_to_be_found() {
        for list in [NOTICES, LABELS, include_str!("../../../data/quality/boilerplate.txt")] {
            for phrase in
                list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                assert!(phrase.len() >= LEAST, "{phrase}");
                assert!(Phrases::of(list).found(phrase), "{phrase}");
            }
        }
    }

    #[test]
    fn notices_are_found_in_any_case_and_only_as_words() {
        let notices = Phrases::notices();
        for line in [
            "Este site utiliza cookies para melhorar sua experiência.",
            "TODOS OS DIREITOS RESERVADOS",
            "Leia também: Bolo de fubá",
            "版权所有 2024",
            "Все права защищены.",
            "आगे यह भी पढ़ें",
        ] {
            assert!(notices.found(line), "{line}");
        }
        for line in ["A repartição dos lucros.", "A maré sobe duas vezes por dia.", "subsign insight"] {
            assert!(!notices.found(line), "{line}");
        }
    }
}
