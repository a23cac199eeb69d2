//! Cuts text for the translator: lines, then sentences, then clauses of what is still too long.
//!
//! **Why**: the models were made from sentences of at most 128 tokens. What is longer is cut off at a token
//! wherever the limit falls, and a line end inside a sentence disappears; both lose meaning.

use fxtranslate::segment::{Segmenter, Span};

/// Cuts text into pieces of at most `most` tokens where it can.
pub(super) struct Sentences<F> {
    /// How many tokens a piece has.
    pub(super) count: F,
    /// The most tokens of a piece.
    pub(super) most: usize,
    /// Characters that end a sentence in this language, beside the usual ones.
    pub(super) ends: &'static str,
}

impl<F: Fn(&str) -> usize> Segmenter for Sentences<F> {
    fn sentences(&self, text: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut start = 0;
        for (end, ends) in boundaries(text, self.ends) {
            if ends {
                self.add(text, start, end, &mut spans);
                start = end;
            }
        }
        self.add(text, start, text.len(), &mut spans);
        spans
    }
}

impl<F: Fn(&str) -> usize> Sentences<F> {
    /// Adds the piece from `start` to `end`, in parts if it is too long.
    fn add(&self, text: &str, start: usize, end: usize, spans: &mut Vec<Span>) {
        let Some(piece) = text.get(start..end) else { return };
        let inner = piece.trim();
        if inner.is_empty() {
            return;
        }
        let start = start + (piece.len() - piece.trim_start().len());
        let end = start + inner.len();
        // A token has at least a byte.
        let long = inner.len() > self.most && (self.count)(inner) > self.most;
        if let Some(at) = long.then(|| middle(inner)).flatten() {
            self.add(text, start, start + at, spans);
            self.add(text, start + at, end, spans);
            return;
        }
        spans.push(Span { start, end });
    }
}

/// The end of the clause, or else of the word, that is nearest to the middle; each half has some text.
fn middle(piece: &str) -> Option<usize> {
    let nearest = |ends: &dyn Fn(char, Option<char>) -> bool| {
        let mut found: Option<(usize, usize)> = None;
        let mut next = piece.char_indices().skip(1).peekable();
        for (i, c) in piece.char_indices() {
            let after = next.next();
            let Some((end, following)) = after else { break };
            let off = (piece.len() / 2).abs_diff(end);
            if i > 0 && ends(c, Some(following)) && found.is_none_or(|(least, _)| off < least) {
                found = Some((off, end));
            }
        }
        found.filter(|(off, _)| *off < piece.len() * 2 / 5).map(|(_, end)| end)
    };
    let spaced = |next: Option<char>| next.is_some_and(char::is_whitespace);
    nearest(&|c, next| "、，；：،؛".contains(c) || (";:—–".contains(c) && spaced(next)))
        .or_else(|| nearest(&|c, next| c == ',' && spaced(next)))
        .or_else(|| nearest(&|c, next| !c.is_whitespace() && spaced(next)))
}

/// Where characters that may end a sentence end, and whether a sentence does end there.
fn boundaries(text: &str, ends: &str) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    let mut word = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let end = i + c.len_utf8();
        if c.is_whitespace() {
            word = end;
        }
        let next = chars.peek().map(|(_, next)| *next);
        let full = "。！？｡।॥؟۔။។።…".contains(c) || (!c.is_ascii() && ends.contains(c));
        let closes = c == '\n'
            || (full && next.is_none_or(|next| !"」』”’）)\"".contains(next)))
            || ("」』".contains(c)
                && text.get(..i).is_some_and(|before| before.ends_with(['。', '！', '？'])))
            || (is_stop(c, text, word, i) && next.is_none_or(char::is_whitespace) && starts(text, end));
        if closes {
            found.push((end, true));
        }
    }
    found
}

/// A stop, or a quote or bracket right after one; not the point of an abbreviation or a number.
fn is_stop(c: char, text: &str, word: usize, at: usize) -> bool {
    let Some(before) = text.get(word..at) else { return false };
    match c {
        '!' | '?' => true,
        '.' => {
            let letters = before.trim_start_matches(|c: char| !c.is_alphanumeric());
            let count = letters.chars().count();
            let capital = letters.chars().next().is_some_and(char::is_uppercase);
            // `Dr.` and `J.` are short for something, `ONU.` and `é.` are words.
            let short = capital && (count == 1 || (count <= 3 && letters.chars().any(char::is_lowercase)));
            let number = !letters.is_empty() && count <= 2 && letters.chars().all(|c| c.is_ascii_digit());
            !short && !number
        }
        '"' | '”' | '’' | ')' | '»' => before.ends_with(['.', '!', '?']),
        _ => false,
    }
}

/// Whether what follows can begin a sentence: no lower-case letter, and no digit (`art. 5`).
fn starts(text: &str, from: usize) -> bool {
    let next = text.get(from..).and_then(|rest| rest.trim_start().chars().next());
    next.is_none_or(|next| !next.is_lowercase() && !next.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str, most: usize) -> Vec<String> {
        let words = |piece: &str| piece.split_whitespace().count();
        let cut = Sentences { count: words, most, ends: ".!?" };
        cut.sentences(text).iter().map(|span| span.of(text).to_owned()).collect()
    }

    #[test]
    fn sentences_end_where_readers_end_them() {
        let text = "O Dr. Silva chegou às 5. Ninguém o viu! “Foi cedo.” Ver o art. 5 e a p. 12, por ex. aqui.\nTítulo sem ponto\nFim…";
        let expected = [
            "O Dr. Silva chegou às 5. Ninguém o viu!",
            "“Foi cedo.”",
            "Ver o art. 5 e a p. 12, por ex. aqui.",
            "Título sem ponto",
            "Fim…",
        ];
        assert_eq!(cut(text, 99), expected);
        assert_eq!(
            cut("A ONU decidiu. O FMI não. Custa 3.5 euros.", 99),
            ["A ONU decidiu.", "O FMI não.", "Custa 3.5 euros."]
        );
        assert_eq!(
            cut("彼は言った。「そうだ。」夜になった！次", 99),
            ["彼は言った。", "「そうだ。」", "夜になった！", "次"]
        );
        assert_eq!(cut("यह एक है। वह दो है।", 99), ["यह एक है।", "वह दो है।"]);
        assert!(cut(" \n\t ", 99).is_empty());
    }

    #[test]
    fn long_sentences_are_cut_at_clauses() {
        let text = "um dois três quatro; cinco seis sete oito nove, dez onze doze treze";
        assert_eq!(cut(text, 9), ["um dois três quatro;", "cinco seis sete oito nove, dez onze doze treze"]);
        assert_eq!(
            cut(text, 5),
            ["um dois três quatro;", "cinco seis sete oito nove,", "dez onze doze treze"]
        );
        assert_eq!(cut("a b c d e f", 3), ["a b c", "d e f"]);
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_lost(text in "[a-zA-Zé .,;!?\n。「」0-9\u{1F600}]{0,120}", most in 1..6usize) {
            let words = |piece: &str| piece.split_whitespace().count();
            let spans = Sentences { count: words, most, ends: ".!?" }.sentences(&text);
            let mut at = 0;
            for span in &spans {
                prop_assert!(span.start >= at && span.end > span.start);
                prop_assert!(text.get(at..span.start).unwrap().trim().is_empty());
                at = span.end;
            }
            prop_assert!(text.get(at..).unwrap().trim().is_empty());
        }
    }
}
