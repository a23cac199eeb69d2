//! Answers made of their own question: the same each time, different for different questions.

use super::words;
use crate::llm::{Answer, Ask, Completion, Finish, Role, Token};
use crate::model::Lang;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Components of a vector, as many as the embedded model's.
const DIMENSIONS: usize = 384;

/// What echo says to an ask.
pub fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::Translate { from, to, text } => Answer::Text(translated(text, *from, *to)),
        Ask::Chat { role, system, user, .. } => chat(*role, system, user),
        Ask::Complete { prompt, openers, .. } => {
            Answer::Completions(openers.iter().map(|opener| completion(last_text(prompt), opener)).collect())
        }
        Ask::LogProb { contexts, text, .. } => {
            Answer::LogProbs(contexts.iter().map(|context| log_prob(context, text)).collect())
        }
        Ask::Embed { text } => Answer::Vector(vector(text)),
    }
}

fn hash(text: &str, seed: u64) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), seed)
}

/// A part of one, from a hash.
fn share(text: &str, seed: u64) -> f64 {
    (hash(text, seed) >> 11) as f64 / (1_u64 << 53) as f64
}

/// One of several, by hash.
fn pick<'a>(of: &[&'a str], text: &str, seed: u64) -> &'a str {
    let len = u64::try_from(of.len().max(1)).unwrap_or(1);
    usize::try_from(hash(text, seed) % len).ok().and_then(|i| of.get(i)).copied().unwrap_or("word")
}

/// Word by word, each into a common word of about its length; digits and punctuation stay.
pub fn translated(text: &str, from: Lang, to: Lang) -> String {
    let vocabulary = words::of(to);
    let mut out = String::with_capacity(text.len());
    let mut put = |word: &str, glue: bool| {
        if glue
            && to.spaced()
            && out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || ",.;:!?".contains(c))
        {
            out.push(' ');
        }
        out.push_str(word);
    };
    for piece in pieces(text, from) {
        match piece {
            Piece::Word(word) => put(sized(vocabulary, &word), true),
            Piece::Number(number) => put(&number, true),
            Piece::Mark(mark) => put(mark, false),
        }
    }
    out.trim().to_owned()
}

enum Piece {
    Word(String),
    Number(String),
    Mark(&'static str),
}

/// Words, numbers and marks. Where words do not stand apart, a few characters are a word.
fn pieces(text: &str, lang: Lang) -> Vec<Piece> {
    let most = if lang.dense() {
        2
    } else if lang.spaced() {
        usize::MAX
    } else {
        5
    };
    let mut pieces = Vec::new();
    let (mut word, mut chars) = (String::new(), 0);
    let close = |word: &mut String, pieces: &mut Vec<Piece>| {
        if !word.is_empty() {
            let whole = std::mem::take(word);
            let number = whole.chars().any(char::is_numeric);
            pieces.push(if number { Piece::Number(whole) } else { Piece::Word(whole) });
        }
    };
    for c in text.chars() {
        let digit = c.is_numeric();
        let joins = word.chars().next_back().is_none_or(|last| last.is_numeric() == digit);
        if digit || is_letter(c) {
            if !joins || (chars >= most && !digit) {
                close(&mut word, &mut pieces);
                chars = 0;
            }
            word.push(c);
            chars += 1;
            continue;
        }
        // A point or comma within a number is part of it; so are other marks nothing.
        close(&mut word, &mut pieces);
        chars = 0;
        pieces.extend(mark_of(c).map(Piece::Mark));
    }
    close(&mut word, &mut pieces);
    pieces
}

/// Letters, with the marks that scripts of India and Thailand write as characters of their own.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
        || matches!(c, '\u{0300}'..='\u{036f}' | '\u{093c}'..='\u{094d}' | '\u{0e31}'..='\u{0e4e}')
}

fn mark_of(c: char) -> Option<&'static str> {
    Some(match c {
        '.' | '。' | '।' | '።' => ".",
        ',' | '，' | '、' | '،' | '፣' => ",",
        '!' | '！' => "!",
        '?' | '？' | '؟' => "?",
        ';' | '；' | '؛' => ";",
        ':' | '：' => ":",
        '\n' => "\n",
        _ => return None,
    })
}

/// A word of the vocabulary, of about the length of the one it stands for.
fn sized(vocabulary: &[&'static str], word: &str) -> &'static str {
    let chars = word.chars().count().clamp(2, 9);
    let near: Vec<&str> = vocabulary.iter().copied().filter(|one| one.len().abs_diff(chars) <= 1).collect();
    if near.len() < 4 { pick(vocabulary, word, 1) } else { pick(&near, word, 1) }
}

fn chat(role: Role, system: &str, user: &str) -> Answer {
    let english = Lang::from_tag("eng_Latn").unwrap_or_default();
    let material = fenced(user);
    let first_material = material.first().map_or(user, String::as_str);
    let mut first = Vec::new();
    let text = match role {
        Role::Translate => translated(first_material, named_lang(user).unwrap_or_default(), english),
        Role::Localize => {
            translated(first_material, english, named_lang(user).or(named_lang(system)).unwrap_or(english))
        }
        Role::Instruct => {
            let completed = completion(first_material, "Explain");
            format!("{{\"unfit\": false, \"instruction\": \"Explain{}\"}}", completed.text)
        }
        Role::Score | Role::Embed => {
            let digit = 1 + hash(user, 2) % 5;
            first = digits(digit, share(user, 3));
            if user.contains("\"score\"") { format!("{{\"score\": {digit}}}") } else { digit.to_string() }
        }
    };
    Answer::Chat { text, finish: Finish::Stop, first }
}

/// Two neighbours share the probability.
fn digits(digit: u64, sure: f64) -> Vec<Token> {
    let beside = if digit == 5 { 4 } else { digit + 1 };
    let likely = 0.5 + sure * 0.49;
    let token = |digit: u64, p: f64| Token { text: digit.to_string(), logprob: p.ln() };
    vec![token(digit, likely), token(beside, 1.0 - likely)]
}

/// The lang whose English name stands first in a prompt, English itself aside.
fn named_lang(prompt: &str) -> Option<Lang> {
    Lang::all()
        .filter(|lang| lang.code() != "eng")
        .filter_map(|lang| {
            Some((prompt.find(lang.english_name())?, usize::MAX - lang.english_name().len(), lang))
        })
        .min()
        .map(|(_, _, lang)| lang)
}

/// What stands between pairs of marker lines `[[code` and `code]]`.
fn fenced(prompt: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in prompt.lines() {
        match &mut open {
            Some((code, lines)) => {
                if line.strip_suffix("]]") == Some(*code) {
                    found.push(lines.join("\n"));
                    open = None;
                } else {
                    lines.push(line);
                }
            }
            None => open = line.strip_prefix("[[").map(|code| (code, Vec::new())),
        }
    }
    found
}

/// The text that a recipe's prompt asks about: behind its last `Text:`.
fn last_text(prompt: &str) -> &str {
    let text = prompt.rsplit("Text:").next().unwrap_or(prompt);
    text.split("\nRequest:").next().unwrap_or(text)
}

/// Four long words of the text behind the opener, as a request would have them; one in eight does not end.
fn completion(text: &str, opener: &str) -> Completion {
    let seed = hash(opener, 4);
    let mut long: Vec<&str> =
        text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 4).collect();
    long.sort_unstable_by_key(|word| hash(&word.to_lowercase(), seed));
    long.dedup_by_key(|word| word.to_lowercase());
    let mut words = long.into_iter().take(4);
    let mut next = || words.next().unwrap_or("matter").to_lowercase();
    let (a, b, c, d) = (next(), next(), next(), next());
    let end = if opener.starts_with(['W', 'H']) && !opener.starts_with("Write") { "?" } else { "." };
    let text = format!(" the {a} and the {b} with their {c} in the {d}{end}");
    Completion { ended: !hash(&text, seed).is_multiple_of(8), text }
}

/// Between -4 and -2 nats by the text alone; a request that shares words with it lifts that.
fn log_prob(context: &str, text: &str) -> f64 {
    let alone = -4.0 + 1.5 * share(text, 5);
    if context.contains("Request:") { alone + 0.2 + share(&format!("{context}\n{text}"), 6) } else { alone }
}

/// The words of a text, each a direction by hash, and a direction that all texts share: near texts share words.
#[expect(clippy::cast_possible_truncation, reason = "components of a unit vector × 127")]
fn vector(text: &str) -> Vec<i8> {
    let mut sums = vec![0.0_f64; DIMENSIONS];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = hash(&word.to_lowercase(), 7);
        let at = usize::try_from(hash % 384).unwrap_or(0);
        if let Some(sum) = sums.get_mut(at) {
            *sum += if hash & (1 << 40) == 0 { 1.0 } else { -1.0 };
        }
    }
    let norm = |sums: &[f64]| sums.iter().map(|x| x * x).sum::<f64>().sqrt().max(1.0);
    // In few components, so that rounding keeps it.
    let common = 0.9 * norm(&sums) / 4.0;
    for sum in sums.iter_mut().take(16) {
        *sum += common;
    }
    let whole = norm(&sums);
    sums.iter().map(|x| (x / whole * 127.0).round() as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    #[test]
    fn translations_look_english_and_keep_digits() {
        let (por, eng) = (lang("por_Latn"), lang("eng_Latn"));
        let text = "A maré sobe 2 vezes por dia, em 1954. Porquê? Água fria.";
        let english = translated(text, por, eng);
        assert!(english.is_ascii() && english.contains(" 2 ") && english.contains("1954."), "{english}");
        assert_eq!(english, translated(text, por, eng));
        assert_ne!(english, translated("A maré desce 2 vezes por dia.", por, eng));
        let ratio = english.len() as f64 / text.chars().count() as f64;
        assert!((0.6..1.6).contains(&ratio), "{ratio}: {english}");
        let back = translated(&english, eng, lang("rus_Cyrl"));
        assert!(back.chars().any(|c| ('а'..='я').contains(&c)) && back.contains("1954"), "{back}");
    }

    #[test]
    fn dense_text_becomes_words() {
        let english = translated("潮汐每天涨落两次，这是由月球引起的。", lang("cmn_Hani"), lang("eng_Latn"));
        assert!(english.is_ascii() && english.split(' ').count() > 5, "{english}");
    }

    #[test]
    fn chats_keep_the_contracts_of_the_prompts() {
        let user = "Translate the request from English into Portuguese.\n[[ab\nWhy is the sea salty?\nab]]";
        let Answer::Chat { text, .. } = chat(Role::Localize, "", user) else { panic!("chat") };
        let portuguese = words::of(lang("por_Latn"));
        assert!(text.trim_end_matches('?').split(' ').all(|word| portuguese.contains(&word)), "{text}");
        let Answer::Chat { text, .. } = chat(Role::Instruct, "", "[[ab\nThe ocean moves slowly\nab]]") else {
            panic!()
        };
        assert!(serde_json::from_str::<serde_json::Value>(&text).expect("json")["instruction"].is_string());
        let Answer::Chat { text, first, .. } = chat(Role::Score, "", "x") else { panic!("chat") };
        assert_eq!(text, first[0].text);
        assert!((first.iter().map(|token| token.logprob.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn vectors_are_units_and_near_texts_are_near() {
        let cosine = |a: &str, b: &str| {
            let dot: i64 = vector(a).iter().zip(vector(b)).map(|(x, y)| i64::from(*x) * i64::from(y)).sum();
            dot as f64 / (127.0 * 127.0)
        };
        assert!((cosine("the sea", "the sea") - 1.0).abs() < 0.05);
        assert!(
            cosine("why is the sea salty", "the sea is salty because of rivers")
                > cosine("why is the sea salty", "bread and butter")
        );
    }
}
