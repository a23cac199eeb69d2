//! Whether a request is put as a person would put it. For small models, whose requests are completions of an opener.
//!
//! **Why**: read by eye, most bad rows of the small model share a form: a question that asks the assistant's opinion,
//! asks for a name where the text explains a thing, presumes a cause that the text does not give, or does not end as a
//! question.

use super::{Passed, words};
use crate::model::Reason;

/// Words that open a question.
const INTERROGATIVES: [&str; 6] = ["what", "how", "why", "which", "who", "where"];

/// Asks for less than a text of several sentences gives, or for what no text can give.
const POOR: [&str; 7] = [
    "do you think",
    "do you know",
    "the name of",
    "the title of",
    "the word for",
    "the meaning of life",
    "best way to describe",
];

/// Words of a text that gives a cause.
const CAUSES: [&str; 16] = [
    "because",
    "since",
    "due",
    "reason",
    "reasons",
    "cause",
    "causes",
    "caused",
    "thus",
    "therefore",
    "hence",
    "so",
    "why",
    "result",
    "explains",
    "thanks",
];

/// A question ends as one, asks for what a text can give, and asks for a cause only where `text` gives one.
///
/// # Errors
/// [`Reason::NoCandidate`], value 0.
pub fn well_put(request: &str, text: &str) -> Passed {
    let asked = words(request);
    let joined = asked.join(" ");
    let first = asked.first().map_or("", String::as_str);
    let unended = INTERROGATIVES.contains(&first) && !request.ends_with('?');
    let poor = POOR.iter().any(|phrase| joined.contains(phrase));
    let causeless = first == "why" && !words(text).iter().any(|word| CAUSES.contains(&word.as_str()));
    if unended || poor || causeless { Err((Reason::NoCandidate, 0.0)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poor_requests_are_told_from_good_ones() {
        let text = "Tides rise because the Moon pulls the water.";
        for request in
            ["How do the tides rise.", "Why do you think the tides rise?", "What is the name of the tide?"]
        {
            assert!(well_put(request, text).is_err(), "{request}");
        }
        for request in ["How do the tides rise?", "Why do the tides rise?", "Explain how the tides rise."] {
            assert!(well_put(request, text).is_ok(), "{request}");
        }
        assert!(well_put("Why do the tides rise?", "Tides rise twice a day.").is_err());
    }
}
