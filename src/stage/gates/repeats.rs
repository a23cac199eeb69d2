//! Loops: a model that says the same again and again.

use super::{Passed, content_words, words};
use crate::model::Reason;

/// The longest period looked for, in words.
const LONGEST_PERIOD: usize = 40;
/// Copies of a period in a row that make a loop.
const COPIES: usize = 4;
/// A loop has at least this many words.
const LEAST_WORDS: usize = 8;

/// The reply does not repeat itself more than the source does.
///
/// # Errors
/// [`Reason::Loop`] with the copies in a row.
pub fn no_loop(reply: &str, source: &str) -> Passed {
    let found = copies_of(&words(reply)).max(letters_in_a_row(reply));
    if found < COPIES {
        return Ok(());
    }
    let native = copies_of(&words(source)).max(letters_in_a_row(source));
    if found > native { Err((Reason::Loop, found as f64)) } else { Ok(()) }
}

/// A request does not say the same twice: no two words in a row that carry its subject, or one and a small word before
/// it, come again (`the king of Portugal to the king of Portugal`), and nothing is set against itself (`between a volcano
/// and a volcano`).
///
/// # Errors
/// [`Reason::Loop`] with 2.
pub fn no_echo(request: &str) -> Passed {
    let all: Vec<String> =
        words(request).into_iter().filter(|word| !ARTICLES.contains(&word.as_str())).collect();
    let content = content_words(request);
    let mut pairs: Vec<&[String]> =
        all.windows(2).filter(|pair| pair.iter().any(|word| content.contains(word))).collect();
    pairs.sort_unstable();
    let twice = pairs.windows(2).any(|two| matches!(two, [a, b] if a == b));
    let against_itself = all.iter().enumerate().any(|(at, word)| {
        let (before, behind) = (all.get(..at).unwrap_or_default(), all.get(at + 1..).unwrap_or_default());
        let joins = matches!(word.as_str(), "and" | "or" | "than" | "from" | "on" | "to");
        joins && before.last().is_some_and(|last| behind.first() == Some(last) && content.contains(last))
    });
    if twice || against_itself { Err((Reason::Loop, 2.0)) } else { Ok(()) }
}

/// Words that tell nothing apart.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// The most copies of one run of words that follow each other; 1 where nothing repeats.
fn copies_of(words: &[String]) -> usize {
    let mut most = 1;
    for period in 1..=LONGEST_PERIOD.min(words.len() / 2) {
        let mut equal = 0;
        for (late, early) in words.iter().skip(period).zip(words) {
            equal = if late == early { equal + 1 } else { 0 };
            let length = equal + period;
            if length >= LEAST_WORDS.max(2 * period) {
                most = most.max(length / period);
            }
        }
    }
    most
}

/// Sixteen or more of one character in a row count as that many quarters of copies: `aaaa...`, `——————`.
fn letters_in_a_row(text: &str) -> usize {
    let (mut most, mut run, mut before) = (0, 0, None);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        run = if before == Some(c) { run + 1 } else { 1 };
        before = Some(c);
        most = most.max(run);
    }
    if most >= 16 { most / 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_told_from_prose() {
        assert!(no_loop(&"and the sea and the sky ".repeat(4), "O mar.").is_err());
        assert!(no_loop(&"very ".repeat(9), "Muito.").is_err());
        assert!(
            no_loop("Very, very good: the good, the bad and the good of the sea and the sky.", "").is_ok()
        );
        assert!(no_loop(&"天地玄黄".repeat(6), "x").is_err());
        assert!(no_loop(&"a".repeat(40), "x").is_err());
        assert!(no_loop("", "").is_ok());
    }

    #[test]
    fn a_request_that_says_the_same_twice_is_found() {
        for echo in [
            "Explain the difference between a volcano and a volcano.",
            "Why did the king of Portugal give a patent to the king of Portugal?",
            "What is the interest on interest?",
            "Explain how to use a bleach bleach bleach.",
        ] {
            assert!(no_echo(echo).is_err(), "{echo}");
        }
        for plain in [
            "Why is compound interest different from simple interest?",
            "What is the difference between a debit card and a credit card?",
            "How do tides rise and fall?",
            "",
        ] {
            assert!(no_echo(plain).is_ok(), "{plain}");
        }
    }

    #[test]
    fn a_refrain_of_the_source_is_no_loop() {
        let source = "la la la la la la la la la la ";
        assert!(no_loop(source, source).is_ok());
        assert!(no_loop(&source.repeat(3), source).is_err());
    }
}
