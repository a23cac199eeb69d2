//! What the journal keeps of an answer, and the key it is kept under.

use crate::error::{Error, Result};
use crate::llm::tokens::bytes_of;
use crate::llm::{Answer, Ask, Reply, Role};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The first byte of a value: how the rest is written.
const JSON: u8 = 1;

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The answer and what it cost.
    pub reply: Reply,
    /// What it was asked for; an equal ask for another role finds it too.
    pub role: Role,
    /// Which model answered.
    pub identity: String,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it cost by the prices of then, in billionths of the currency; absent where the endpoint had no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_nano: Option<u64>,
}

impl Entry {
    /// As it stands in the file.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let text = match &self.reply.answer {
            Answer::Text(text) | Answer::Chat { text, .. } => text.len(),
            Answer::Completions(_) | Answer::LogProbs(_) | Answer::Vector(_) => 1024,
        };
        // It grows once at most.
        let mut bytes = Vec::with_capacity(text + 512);
        bytes.push(JSON);
        serde_json::to_writer(&mut bytes, self)
            .map_err(|cause| Error::bug("answer not written as JSON").because(cause))?;
        Ok(bytes)
    }

    /// Reads it back; `None` if a newer isogloss wrote it or the bytes are broken.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&JSON, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }
}

/// The key of an ask to a model (128-bit xxh3 of identity and canonical bytes), and the length of those bytes.
///
/// # Errors
/// As [`canonical`].
pub fn key_of(identity: &str, ask: &Ask) -> Result<(u128, usize)> {
    let bytes = canonical(ask)?;
    Ok((key_under(identity, &bytes), bytes.len()))
}

/// The bytes of an ask that its keys are made of.
///
/// # Errors
/// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the ask cannot be written as JSON.
pub fn canonical(ask: &Ask) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(bytes_of(ask) + 512);
    let written = match ask {
        // In memory a lang is a line number of `data/langs.tsv`: keys carry its tag, which never moves.
        Ask::Translate { from, to, text } => {
            serde_json::to_writer(&mut bytes, &("translate", from.tag(), to.tag(), text))
        }
        _ => serde_json::to_writer(&mut bytes, ask),
    };
    written.map_err(|cause| Error::bug("ask not written as JSON").because(cause))?;
    Ok(bytes)
}

/// The key of [`canonical`] bytes under the identity of a model.
pub fn key_under(identity: &str, canonical: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(identity.as_bytes());
    hash.update(&[0]);
    hash.update(canonical);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Usage;
    use crate::model::Lang;
    use std::collections::BTreeSet;
    use xxhash_rust::xxh3::xxh3_128;

    #[test]
    fn keys_tell_apart_whatever_can_change_an_answer() {
        let lang = |tag| Lang::from_tag(tag).expect("in the table");
        let translate =
            |from, text: &str| Ask::Translate { from: lang(from), to: lang("eng_Latn"), text: text.into() };
        let chat = |user: &str, max_tokens, schema: Option<&str>| Ask::Chat {
            role: Role::Instruct,
            prompt: "instruct-2".into(),
            system: String::new(),
            user: user.into(),
            max_tokens,
            temperature_milli: 0,
            schema: schema.map(str::to_owned),
            logprobs: false,
        };
        let asks = [
            translate("por_Latn", "a"),
            translate("spa_Latn", "a"),
            translate("por_Latn", "b"),
            chat("a", 9, None),
            chat("b", 9, None),
            chat("a", 8, None),
            chat("a", 9, Some("{}")),
            Ask::Embed { text: "a".into() },
        ];
        let mut keys = BTreeSet::new();
        for ask in &asks {
            for identity in ["m", "n"] {
                assert!(keys.insert(key_of(identity, ask).expect("json").0), "{ask:?}");
            }
        }
    }

    #[test]
    fn the_key_of_a_translation_is_written_down() {
        // Pinned: a key that moves makes every user pay again.
        let lang = |tag| Lang::from_tag(tag).expect("in the table");
        let ask = Ask::Translate { from: lang("por_Latn"), to: lang("eng_Latn"), text: "Olá".into() };
        let bytes = "m\0[\"translate\",\"por_Latn\",\"eng_Latn\",\"Olá\"]";
        assert_eq!(key_of("m", &ask).expect("json").0, xxh3_128(bytes.as_bytes()));
    }

    #[test]
    fn an_entry_reads_back_and_broken_bytes_are_none() {
        let entry = Entry {
            reply: Reply {
                answer: Answer::LogProbs(vec![-1.25, f64::MIN_POSITIVE]),
                usage: Usage { input_tokens: 3, output_tokens: 0 },
            },
            role: Role::Score,
            identity: "m".into(),
            unix_ms: 7,
            paid_nano: None,
        };
        let bytes = entry.to_bytes().expect("json");
        // As it was written before there were prices.
        assert!(!String::from_utf8_lossy(&bytes).contains("paid_nano"));
        assert_eq!(Entry::from_bytes(&bytes), Some(entry.clone()));
        let priced = Entry { paid_nano: Some(1_176_000), ..entry };
        assert_eq!(Entry::from_bytes(&priced.to_bytes().expect("json")), Some(priced));
        assert_eq!(Entry::from_bytes(bytes.get(..9).expect("longer")), None);
        assert_eq!(Entry::from_bytes(&[2, b'{', b'}']), None);
        assert_eq!(Entry::from_bytes(&[]), None);
    }
}
