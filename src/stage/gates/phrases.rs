//! Phrases that betray a reply: refusals, and requests that speak of a text their reader does not see.

use super::{Passed, words};
use crate::model::Reason;

/// What a refusal begins with.
const SORRY: [&str; 12] = [
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i cannot",
    "i can't",
    "i can not",
    "i won't",
    "i will not",
    "i'm unable",
    "i am unable",
    "unfortunately, i",
    "as an ai",
];

/// What it speaks of.
const HELP: [&str; 16] = [
    "assist",
    "help with",
    "help you",
    "comply",
    "fulfill",
    "fulfil",
    "this request",
    "your request",
    "that request",
    "language model",
    "as an ai",
    "translate this",
    "translate that",
    "provide a translation",
    "content policy",
    "appropriate",
];

/// A chat model did its work instead of declining it. Only a beginning counts, and only if it also speaks of helping:
/// people, too, are sorry.
///
/// # Errors
/// [`Reason::Refused`].
pub fn no_refusal(reply: &str) -> Passed {
    let head: String = reply.trim_start().chars().take(220).flat_map(char::to_lowercase).collect();
    let head = head.replace('’', "'");
    let sorry = SORRY.iter().any(|phrase| head.starts_with(phrase));
    let ai = head.contains("as an ai language model") || head.contains("as a language model");
    if ai || (sorry && HELP.iter().any(|phrase| head.contains(phrase))) {
        return Err((Reason::Refused, 0.0));
    }
    Ok(())
}

/// Things that only somebody with the text before them can point at.
const TEXTS: [&str; 18] = [
    "text",
    "passage",
    "article",
    "paragraph",
    "excerpt",
    "document",
    "snippet",
    "extract",
    "content",
    "author",
    "writer",
    "narrator",
    "speaker",
    "post",
    "page",
    "answer",
    "response",
    "texts",
];

/// Words that point.
const POINTERS: [&str; 7] = ["the", "this", "that", "above", "given", "following", "provided"];

/// Phrases that point by themselves.
const POINTING: [&str; 8] = [
    "mentioned above",
    "described above",
    "as above",
    "the above",
    "given above",
    "according to the text",
    "based on the text",
    "stated in the",
];

/// The request makes sense without the text: no "the passage", no "above". `text` excuses what it speaks of itself (a text
/// about authors may be asked about the author).
///
/// # Errors
/// [`Reason::RefersToText`].
pub fn no_reference(request: &str, text: &str) -> Passed {
    let words = words(request);
    let joined = words.join(" ");
    let own = |word: &str| {
        let bare = |w: &str| w.trim_end_matches('s').to_owned();
        self::words(text).iter().any(|native| bare(native) == bare(word))
    };
    let points = words.windows(2).any(|pair| match pair {
        [first, second] => {
            (POINTERS.contains(&first.as_str()) && TEXTS.contains(&second.as_str()) && !own(second))
                || (first == "above" && second != "all")
        }
        _ => false,
    });
    if points || POINTING.iter().any(|phrase| joined.contains(phrase)) || joined.ends_with(" above") {
        return Err((Reason::RefersToText, 0.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_people_who_are_sorry() {
        for refusal in [
            "I'm sorry, but I can't assist with that.",
            "I’m sorry, I can’t help with this request.",
            "I cannot translate this text.",
            "As an AI language model, I do not have opinions.",
            "Unfortunately, I am unable to comply.",
        ] {
            assert!(no_refusal(refusal).is_err(), "{refusal}");
        }
        for text in [
            "I'm sorry, said the king, and left.",
            "I cannot forget the winter of 1952.",
            "",
            "We help you move.",
        ] {
            assert!(no_refusal(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn requests_that_need_the_text_are_found() {
        let text = "The tides follow the Moon.";
        for request in [
            "What does the passage say about tides?",
            "Summarise the article.",
            "Explain the tides mentioned above",
            "Why is the above true of tides?",
            "According to the text, what moves the tides?",
            "What is the main idea of this paragraph?",
        ] {
            assert!(no_reference(request, text).is_err(), "{request}");
        }
        for request in [
            "Write a short text about tides.",
            "Why do tides rise above all in spring?",
            "How high do tides rise?",
        ] {
            assert!(no_reference(request, text).is_ok(), "{request}");
        }
        assert!(
            no_reference("Who was the author of Dom Casmurro?", "Machado, its author, was born in Rio.")
                .is_ok()
        );
    }
}
