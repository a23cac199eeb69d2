//! Where sentences end: beginnings of a text for small models, chunks of it for translators.
//!
//! **Why**: a model has a bounded window and translates best what it can see whole. Text is cut only behind a
//! sentence, or, where one sentence alone is too long, behind a word.

pub use crate::llm::tokens::tokens_of;
use crate::model::Lang;

/// The beginning of a text, at most `most_chars` characters, cut behind a sentence if the cut keeps half of
/// that, else behind a word, else where it must be.
pub fn excerpt(text: &str, most_chars: usize, lang: Lang) -> &str {
    let Some((limit, _)) = text.char_indices().nth(most_chars) else {
        return text;
    };
    let head = text.get(..limit).unwrap_or(text);
    let kept = |end: &usize| *end * 2 >= limit;
    let sentence =
        sentence_ends(text, lang).into_iter().take_while(|end| trimmed(text, *end) <= limit).last();
    let word = || head.rfind(char::is_whitespace);
    let end = sentence.filter(kept).or_else(|| word().filter(kept)).unwrap_or(limit);
    text.get(..trimmed(text, end)).unwrap_or(head)
}

/// The end of what is left of `text[..end]` without the white space at its end.
fn trimmed(text: &str, end: usize) -> usize {
    text.get(..end).map_or(end, |head| head.trim_end().len())
}

/// Byte offsets behind each sentence and the white space that follows it; the last is the text's length.
/// A line break ends a sentence too.
pub fn sentence_ends(text: &str, lang: Lang) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let mut over = c == '\n';
        if !over && lang.sentence_end().contains(c) {
            while chars.next_if(|(_, next)| lang.sentence_end().contains(*next) || closes(*next)).is_some() {}
            over = !lang.spaced() || chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        }
        if over {
            while chars.next_if(|(_, next)| next.is_whitespace()).is_some() {}
            ends.push(chars.peek().map_or(text.len(), |(at, _)| *at));
        }
    }
    if ends.last() != Some(&text.len()) && !text.is_empty() {
        ends.push(text.len());
    }
    ends
}

fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '」' | '』' | '）' | '】' | '›')
}

/// Cuts a text into chunks of about `most_tokens` tokens behind sentences; a longer sentence is cut behind words.
/// The chunks' concatenation is the text.
pub fn chunks(text: &str, most_tokens: usize, lang: Lang) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in sentence_ends(text, lang) {
        let sentence = text.get(start..end).unwrap_or_default();
        cut(sentence, most_tokens, &mut pieces);
        start = end;
    }
    let mut chunks: Vec<&str> = Vec::new();
    let (mut start, mut end, mut held) = (0, 0, 0);
    for piece in pieces {
        let tokens = tokens_of(piece);
        if held > 0 && held + tokens > most_tokens {
            chunks.extend(text.get(start..end));
            (start, held) = (end, 0);
        }
        end += piece.len();
        held += tokens;
    }
    chunks.extend(text.get(start..end).filter(|last| !last.is_empty()));
    chunks
}

/// Cuts one sentence into pieces of at most `most_tokens` tokens.
fn cut<'a>(sentence: &'a str, most_tokens: usize, pieces: &mut Vec<&'a str>) {
    let mut rest = sentence;
    while tokens_of(rest) > most_tokens {
        // A token has at most four characters here, so this many always fit.
        let chars = most_tokens.max(1);
        let limit = rest.char_indices().nth(chars).map_or(rest.len(), |(at, _)| at);
        let head = rest.get(..limit).unwrap_or(rest);
        let end = head.rfind(char::is_whitespace).filter(|at| at * 2 >= limit).unwrap_or(limit);
        if end == 0 || end >= rest.len() {
            break;
        }
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        let cut = |text: &'static str, tag| {
            let mut start = 0;
            let ends = sentence_ends(text, lang(tag));
            ends.into_iter()
                .map(|end| text.get(std::mem::replace(&mut start, end)..end).expect("a boundary"))
                .collect::<Vec<_>>()
        };
        assert_eq!(cut("Custa 3.50 hoje. (Sim!) E?", "por_Latn"), ["Custa 3.50 hoje. ", "(Sim!) ", "E?"]);
        assert_eq!(cut("天是蓝的。海也是。", "cmn_Hani"), ["天是蓝的。", "海也是。"]);
        assert_eq!(cut("Título\nUm texto", "por_Latn"), ["Título\n", "Um texto"]);
        assert!(cut("", "por_Latn").is_empty());
    }

    #[test]
    fn an_excerpt_ends_with_a_sentence_or_a_word() {
        let por = lang("por_Latn");
        assert_eq!(excerpt("Um dois. Três quatro. Cinco", 24, por), "Um dois. Três quatro.");
        assert_eq!(excerpt("Um dois três quatro", 16, por), "Um dois três");
        assert_eq!(excerpt("curto", 24, por), "curto");
        assert_eq!(excerpt(&"ã".repeat(9), 4, por), "ãããã");
    }

    #[test]
    fn chunks_hold_whole_sentences_where_they_can() {
        let text = "Um dois três quatro. ".repeat(10);
        let chunks = chunks(&text, 20, lang("por_Latn"));
        assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk.trim_end().ends_with('.')), "{chunks:?}");
    }

    proptest! {
        #[test]
        fn chunks_are_the_text_and_keep_to_the_limit(text in "\\PC{0,400}|([a-zé]{1,9}[ .\n]){0,80}|[天地。 ]{0,200}", most in 8..80_usize) {
            for tag in ["por_Latn", "cmn_Hani", "tha_Thai"] {
                let chunks = chunks(&text, most, lang(tag));
                prop_assert_eq!(chunks.concat(), text.clone());
                prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && tokens_of(chunk) <= most + 1));
                prop_assert!(excerpt(&text, most, lang(tag)).chars().count() <= most);
                prop_assert!(text.starts_with(excerpt(&text, most, lang(tag))));
            }
        }
    }
}
