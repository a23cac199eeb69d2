//! How many tokens a text or an ask has, about: for limits per minute, for budgets, and where a server counts none.
//!
//! **Why**: endpoints have tokenizers of their own, and most do not tell which. The rule of thumb is near the truth for
//! English, and for other scripts where the tokenizer knows many of their words; where it knows few, a request may
//! read several times as many.

use super::{Ask, Usage};

/// What a text costs in tokens, as a rule of thumb for tokenizers of 32k to 256k entries: a quarter of a token
/// for a basic Latin letter, a half for other letters, one for Han, Kana and Hangul.
pub fn tokens_of(text: &str) -> usize {
    quarters_of(text).div_ceil(4)
}

/// Quarters of a token: those of pieces add up to those of the text.
fn quarters_of(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '\0'..='\u{7f}' => 1,
            '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'.. => 4,
            _ => 2,
        })
        .sum()
}

/// As [`tokens_of`], as endpoints count.
pub fn count_of(text: &str) -> u64 {
    u64::try_from(tokens_of(text)).unwrap_or(u64::MAX)
}

/// Tokens that an ask reads, about, and the most that it may write: its own limit; of translations, which have none,
/// three times what they read.
pub fn most_of(ask: &Ask) -> Usage {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let tokens = |text: [&str; 3]| count(text.into_iter().map(quarters_of).sum::<usize>().div_ceil(4));
    let input_tokens = texts_of(ask).into_iter().map(tokens).sum();
    let output_tokens = match ask {
        Ask::Chat { max_tokens, .. } => u64::from(*max_tokens),
        Ask::Complete { openers, max_tokens, .. } => {
            count(openers.len()).saturating_mul(u64::from(*max_tokens))
        }
        Ask::Translate { .. } => 3 * input_tokens,
        // Servers that echo write one token more than nothing.
        Ask::LogProb { contexts, .. } => count(contexts.len()),
        Ask::Embed { .. } => 0,
    };
    Usage { input_tokens, output_tokens }
}

/// Characters (Unicode scalar values) that an ask sends.
pub fn characters_of(ask: &Ask) -> u64 {
    let characters = |text: &str| u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    texts_of(ask).into_iter().flatten().map(characters).sum()
}

/// Bytes of the texts that an ask sends.
pub fn bytes_of(ask: &Ask) -> usize {
    texts_of(ask).into_iter().flatten().map(str::len).sum()
}

/// The texts that are sent, in the pieces that they are put together from.
fn texts_of(ask: &Ask) -> Vec<[&str; 3]> {
    match ask {
        Ask::Translate { text, .. } | Ask::Embed { text } => vec![[text, "", ""]],
        Ask::Chat { system, user, .. } => vec![[system, "", ""], [user, "", ""]],
        Ask::Complete { prefix, prompt, openers, .. } => {
            openers.iter().map(|opener| [prefix.as_str(), prompt, opener]).collect()
        }
        Ask::LogProb { contexts, text, .. } => {
            contexts.iter().map(|context| [context.as_str(), text, ""]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_opener_carries_the_prompt_and_may_write_its_own() {
        let ask = Ask::Complete {
            prefix: "p".repeat(40),
            prompt: "q".repeat(36),
            openers: vec!["abcd".into(), "efgh".into()],
            max_tokens: 9,
        };
        assert_eq!(most_of(&ask), Usage { input_tokens: 40, output_tokens: 18 });
        assert_eq!(characters_of(&Ask::Embed { text: "água".into() }), 4);
        assert_eq!((count_of("água"), count_of("水水")), (2, 2));
    }
}
