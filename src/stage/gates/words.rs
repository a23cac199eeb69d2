//! Words of a text, copies of them and what stands on them.

use super::Passed;
use crate::model::Reason;
use std::collections::{BTreeMap, BTreeSet};
use unicode_segmentation::UnicodeSegmentation;

/// The words of a text (UAX #29), lower-cased. Scripts without spaces give characters.
pub fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(str::to_lowercase).collect()
}

/// The most words in a row that `reply` and `source` share.
pub fn copied_run(reply: &[String], source: &[String]) -> usize {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, word) in source.iter().enumerate() {
        places.entry(word).or_default().push(at);
    }
    let mut longest = 0;
    // Runs that end at the word before, by where they end in the source.
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for word in reply {
        let ends = places.get(word.as_str()).map(Vec::as_slice).unwrap_or_default();
        runs = ends
            .iter()
            .map(|at| (*at, 1 + at.checked_sub(1).and_then(|before| runs.get(&before)).copied().unwrap_or(0)))
            .collect();
        longest = longest.max(runs.values().copied().max().unwrap_or(0));
    }
    longest
}

/// No `most + 1` words of the reply in a row stand in the source.
///
/// # Errors
/// [`Reason::Copy`] with the words in a row.
pub fn no_copy(reply: &str, source: &str, most: usize) -> Passed {
    let run = copied_run(&words(reply), &words(source));
    if run > most { Err((Reason::Copy, run as f64)) } else { Ok(()) }
}

/// English words that carry grammar or the form of a request, not its subject.
const FORM: &str = "a about above after again against all also am an and any are aren't as at be because been before being \
    below between both but by can can't cannot could did do does doesn't doing don't down during each few for from further \
    get gets give given gives had has have having he her here hers him his how i if in into is isn't it it's its itself just \
    like made make makes many may me might more most much must my need needs no nor not now of off on once one ones only or \
    other our out over own please same shall she should so some such take than that the their them then there these they \
    this those through to too under until up upon us use used uses using very want was way ways we were what what's when \
    where which while who whom whose why will with within without would you your \
    answer answers article describe detail details discuss explain explanation explanations following give guide help \
    information list main paragraph report news request short sentence show story summarise summarize summary tell text \
    write writing work works working different difference differences mean means meaning reason reasons important \
    importance briefly brief step steps example examples kind kinds type types thing things people person someone \
    history process purpose role effect effects cause causes origin origins benefit benefits function functions name \
    names called happen happens happened best know known";

/// The words of a text that carry its subject: at least three characters, and not of the form of a request.
pub fn content_words(text: &str) -> BTreeSet<String> {
    static FORMS: std::sync::LazyLock<BTreeSet<&'static str>> =
        std::sync::LazyLock::new(|| FORM.split_whitespace().collect());
    let base = |word: String| {
        word.strip_suffix("'s").or(word.strip_suffix("’s")).map_or(word.clone(), str::to_owned)
    };
    words(text)
        .into_iter()
        .map(base)
        .filter(|word| word.chars().count() >= 3 && !FORMS.contains(word.as_str()))
        .collect()
}

/// First five letters of each content word: close enough to a stem for English.
pub fn content_stems(text: &str) -> BTreeSet<String> {
    content_words(text).iter().map(|word| word.chars().take(5).collect()).collect()
}

/// The request stands on the text: at least `least_share` of its content stems are the text's, at least one is, and
/// none is of `foreign` alone (the examples that the model was shown).
///
/// # Errors
/// [`Reason::NoCandidate`] with the share found.
pub fn grounded(
    request: &BTreeSet<String>,
    text: &BTreeSet<String>,
    foreign: &BTreeSet<String>,
    least_share: f64,
) -> Passed {
    let found = request.intersection(text).count();
    let share = if request.is_empty() { 0.0 } else { found as f64 / request.len() as f64 };
    let strays = request.difference(text).any(|stem| foreign.contains(stem));
    if found == 0 || share < least_share || strays { Err((Reason::NoCandidate, share)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_shared_run_is_found_wherever_it_stands() {
        let run = |a: &str, b: &str| copied_run(&words(a), &words(b));
        assert_eq!(run("why is the sky blue", "The sky is blue. Is the sky, blue?"), 4);
        assert_eq!(run("a a a a", "a a"), 2);
        assert_eq!(run("x", "y"), 0);
        assert_eq!(run("", "y"), 0);
        assert!(no_copy("one two three four five six", "zero one two three four five six", 5).is_err());
        assert!(no_copy("one two three four five", "zero one two three four five six", 5).is_ok());
    }

    #[test]
    fn a_request_must_stand_on_the_text_and_not_on_the_examples() {
        let check = |request: &str, text: &str| {
            let foreign = content_stems("lighthouse museum reef");
            grounded(&content_stems(request), &content_stems(text), &foreign, 0.5)
        };
        let text = "The tides follow the Moon, and the oceans swell twice a day.";
        assert!(check("Why do oceans have tides?", text).is_ok());
        assert!(check("What is the reason for that?", text).is_err());
        assert!(check("Explain how volcanoes and glaciers shaped the tides", text).is_err());
        assert!(check("How do tides reach a lighthouse of the oceans?", text).is_err());
        assert!(check("How do tides reach a lighthouse?", "Tides reach the lighthouse.").is_ok());
    }

    proptest! {
        #[test]
        fn runs_agree_with_a_plain_search(a in prop::collection::vec("[ab]", 0..12), b in prop::collection::vec("[ab]", 0..12)) {
            let mut longest = 0;
            for start in 0..a.len() {
                for end in start + 1..=a.len() {
                    if b.windows(end - start).any(|window| window == &a[start..end]) {
                        longest = longest.max(end - start);
                    }
                }
            }
            prop_assert_eq!(copied_run(&a, &b), longest);
        }
    }
}
