//! How many tokens a text or an ask has: for limits per minute, for budgets, for plans, and where a server counts none.
//!
//! **Why**: endpoints have tokenizers of their own. Where the settings give the tokenizer of a model, it counts. Most
//! providers do not tell theirs: then a rule of thumb stands in, near the truth for English, and for other scripts where
//! the tokenizer knows many of their words; where it knows few, a request may read several times as many.

use super::{Ask, Usage};
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use tokenizers::Tokenizer;

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

/// Counts the tokens of one endpoint: by the tokenizer of its model, or by the rule of [`tokens_of`].
///
/// The marks that a server puts around messages are not counted: a few tokens an ask.
#[derive(Clone, Default)]
pub struct Counter {
    tokenizer: Option<Arc<Tokenizer>>,
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.tokenizer.is_some() { "Counter(tokenizer)" } else { "Counter(rule of thumb)" })
    }
}

impl Counter {
    /// Counts by a `tokenizer.json` of Hugging Face's tokenizers; `key` is the setting that names it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it cannot be read, or cannot count a text of several scripts.
    pub fn open(key: &str, path: &Path) -> Result<Self> {
        let odd = |why: &str, cause: tokenizers::Error| {
            Error::config(format!(
                "{why}: key={key}, value={}, remedy=the tokenizer.json of the model, or leave it out for a rule of thumb",
                path.display()
            ))
            .because(std::io::Error::other(cause.to_string()))
        };
        let mut tokenizer = Tokenizer::from_file(path).map_err(|cause| odd("tokenizer unreadable", cause))?;
        tokenizer
            .with_truncation(None)
            .map_err(|cause| odd("tokenizer cuts texts off", cause))?
            .with_padding(None);
        tokenizer
            .encode_fast("Abc 123, água, вода, ماء, 水, น้ำ", false)
            .map_err(|cause| odd("tokenizer counts nothing", cause))?;
        Ok(Self { tokenizer: Some(Arc::new(tokenizer)) })
    }

    /// Tokens of a text. A text that the tokenizer fails at is counted by the rule of thumb.
    pub fn count(&self, text: &str) -> u64 {
        let counted = self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.encode_fast(text, false).ok());
        as_count(counted.map_or_else(|| tokens_of(text), |encoding| encoding.len()))
    }

    /// Tokens that an ask reads, and the most that it may write: its own limit; of translations, which have none,
    /// three times what they read.
    pub fn most_of(&self, ask: &Ask) -> Usage {
        let input_tokens = self.input_of(ask);
        let output_tokens = match ask {
            Ask::Chat { max_tokens, .. } => u64::from(*max_tokens),
            Ask::Complete { openers, max_tokens, .. } => {
                as_count(openers.len()).saturating_mul(u64::from(*max_tokens))
            }
            Ask::Translate { .. } => 3 * input_tokens,
            // Servers that echo write one token more than nothing.
            Ask::LogProb { contexts, .. } => as_count(contexts.len()),
            Ask::Embed { .. } => 0,
        };
        Usage { input_tokens, output_tokens }
    }

    /// Tokens that an ask reads.
    pub fn input_of(&self, ask: &Ask) -> u64 {
        if self.tokenizer.is_none() {
            let tokens =
                |text: [&str; 3]| as_count(text.into_iter().map(quarters_of).sum::<usize>().div_ceil(4));
            return texts_of(ask).into_iter().map(tokens).sum();
        }
        match ask {
            // What all of them begin with is counted once: that is most of the work.
            Ask::Complete { prefix, prompt, openers, .. } => {
                let shared = self.count(prefix) + self.count(prompt);
                openers.iter().map(|opener| shared + self.count(opener)).sum()
            }
            Ask::LogProb { contexts, text, .. } => {
                let shared = self.count(text);
                contexts.iter().map(|context| shared + self.count(context)).sum()
            }
            _ => texts_of(ask).into_iter().flatten().map(|text| self.count(text)).sum(),
        }
    }
}

fn as_count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
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
pub(crate) mod tests {
    use super::*;

    /// Words between spaces, each a token of its own; unknown ones are one token.
    pub(crate) const WORDS: &str = r#"{"version":"1.0","truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst",
        "stride":0},"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},
        "post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"?":0,"a":1},"unk_token":"?"}}"#;

    fn complete(prefix: String, prompt: String) -> Ask {
        Ask::Complete { prefix, prompt, openers: vec!["abcd".into(), "efgh".into()], max_tokens: 9 }
    }

    #[test]
    fn every_opener_carries_the_prompt_and_may_write_its_own() {
        let (counter, ask) = (Counter::default(), complete("p".repeat(40), "q".repeat(36)));
        assert_eq!(counter.most_of(&ask), Usage { input_tokens: 40, output_tokens: 18 });
        assert_eq!(characters_of(&Ask::Embed { text: "água".into() }), 4);
        assert_eq!((counter.count("água"), counter.count("水水")), (2, 2));
    }

    #[test]
    fn a_tokenizer_counts_whole_texts_its_own_way() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, WORDS).expect("written");
        let counter = Counter::open("endpoints.m.tokenizer", &path).expect("reads");
        // Not cut off after two.
        assert_eq!(counter.count("a b c água"), 4);
        let ask = complete("p q ".into(), "r s t ".into());
        assert_eq!(counter.most_of(&ask), Usage { input_tokens: 12, output_tokens: 18 });
        let ask =
            Ask::LogProb { contexts: vec!["a ".into(), "a b ".into()], text: "c d".into(), most_tokens: 9 };
        assert_eq!(counter.most_of(&ask), Usage { input_tokens: 7, output_tokens: 2 });
    }

    #[test]
    fn a_tokenizer_that_is_none_names_its_key() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokenizer.json");
        // Without an entry for what is unknown.
        for text in ["", "{}", &WORDS.replace("\"?\":0,", "")] {
            std::fs::write(&path, text).expect("written");
            let wrong = Counter::open("endpoints.m.tokenizer", &path).expect_err("none").to_string();
            assert!(wrong.contains("key=endpoints.m.tokenizer") && wrong.contains("remedy="), "{wrong}");
        }
    }
}
