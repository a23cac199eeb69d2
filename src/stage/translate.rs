//! Translates responses to English.
//!
//! **Why**: instructions are written and judged in English, where models are best; the native text itself is never
//! rewritten. A bad translation makes a bad instruction, so what a look can tell is told here: language, length,
//! numbers, loops, text that was left as it was. Where a translation does not pass, the endpoints of the next priority, or
//! those of another kind, are asked; then it is a fault.
//!
//! **In** `response`, `lang`. **Out** `response_en`. **Asks** [`Ask::Translate`] where the endpoint offers the pair, else
//! [`Ask::Chat`] per chunk; English text is asked nobody. **Faults** every gate of [`gates`], [`Reason::NoTranslator`].

use super::clerk::Clerk;
use super::ending::{End, ask_chat, ask_text, settle};
use super::excerpt::{chunks, tokens_of};
use super::gates::{self, Tongue};
use super::identify::Identifier;
use crate::error::{Error, Result};
use crate::llm::prompt::{Prompts, unfenced};
use crate::llm::{Ask, Desk, Pending, Role};
use crate::model::{Exchange, Lang, Reason, Stage};
use minijinja::context;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The prompt of chat models.
const PROMPT: &str = "translate-1";

/// How responses are translated, and what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TranslateSettings {
    /// Most tokens of a chunk that a chat model translates at once, estimated, `50..=8000`. Cut behind sentences.
    pub chunk_tokens: usize,
    /// Sampling temperature of a chat model in thousandths, `0..=2000`.
    pub temperature_milli: u32,
    /// Least characters of English per character of the response, where one of a dense script counts 2.6;
    /// `0.0..=1.0`.
    pub least_ratio: f64,
    /// Most of them, `1.0..=20.0`.
    pub most_ratio: f64,
    /// Most words in a row that the English may share with the response, `1..=1000`.
    pub most_copied_words: usize,
    /// How sure the language model must be of another language for a fault, `0.0..=1.0`.
    pub other_lang: f64,
}

impl Default for TranslateSettings {
    fn default() -> Self {
        Self {
            chunk_tokens: 400,
            temperature_milli: 0,
            least_ratio: 0.45,
            most_ratio: 2.2,
            most_copied_words: 15,
            other_lang: 0.5,
        }
    }
}

impl TranslateSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        super::within(key, "chunk_tokens", self.chunk_tokens, 50..=8000)?;
        super::within(key, "temperature_milli", self.temperature_milli, 0..=2000)?;
        super::within(key, "least_ratio", self.least_ratio, 0.0..=1.0)?;
        super::within(key, "most_ratio", self.most_ratio, 1.0..=20.0)?;
        super::within(key, "most_copied_words", self.most_copied_words, 1..=1000)?;
        super::within(key, "other_lang", self.other_lang, 0.0..=1.0)
    }
}

/// The clerk of the stage.
pub struct Translate {
    desks: Vec<Desk>,
    prompts: Arc<Prompts>,
    tongue: Tongue,
    english: Lang,
    settings: TranslateSettings,
}

impl Translate {
    /// * `identifier`: tells the language of a translation; without one, only its script is looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if `data/langs.tsv` lost English.
    pub fn new(
        desk: Desk,
        prompts: Arc<Prompts>,
        identifier: Option<Arc<dyn Identifier>>,
        settings: TranslateSettings,
    ) -> Result<Self> {
        let tongue = Tongue::new(identifier, settings.other_lang, 1000);
        Ok(Self { desks: vec![desk], prompts, tongue, english: english()?, settings })
    }

    /// Another endpoint, asked where the first one's translation does not pass.
    #[must_use]
    pub fn or_ask(mut self, desk: Desk) -> Self {
        self.desks.push(desk);
        self
    }

    async fn translated(&self, exchange: &Exchange) -> Result<String, End> {
        if exchange.lang == self.english {
            gates::said(&exchange.response)?;
            return Ok(exchange.response.clone());
        }
        let mut ended = End::Faulted(Reason::NoTranslator, 0.0);
        for desk in &self.desks {
            match self.by(desk, exchange).await {
                // Who was merely away may be back when the second pass asks: it must get the same answer then.
                Err(End::Faulted(reason, value)) if !reason.is_unanswered() || reason == Reason::Rejected => {
                    ended = End::Faulted(reason, value);
                }
                other => return other,
            }
        }
        Err(ended)
    }

    /// The translation of one endpoint, checked.
    async fn by(&self, desk: &Desk, exchange: &Exchange) -> Result<String, End> {
        let (from, to, native) = (exchange.lang, self.english, exchange.response.as_str());
        let text = if desk.translates(from, to) {
            ask_text(desk, Ask::Translate { from, to, text: native.to_owned() }).await?
        } else if desk.offers().chat {
            self.chat(desk, native, from).await?
        } else {
            return Err(End::Faulted(Reason::NoTranslator, 0.0));
        };
        let english = gates::said(&text)?;
        let settings = &self.settings;
        gates::no_refusal(english)?;
        self.tongue.speaks(english, to)?;
        gates::ratio_within(native, from, english, to, settings.least_ratio, settings.most_ratio)?;
        gates::no_copy(english, native, settings.most_copied_words)?;
        gates::no_loop(english, native)?;
        gates::digits_kept(native, from, english, to)?;
        Ok(english.to_owned())
    }

    /// Chunk by chunk; each is checked alone, since a lost or refused chunk hides in the whole. What stands between
    /// chunks stays.
    async fn chat(&self, desk: &Desk, native: &str, from: Lang) -> Result<String, End> {
        let lang = (from != Lang::UND).then(|| from.english_name());
        let system = self.prompts.render(PROMPT, "system", context! {})?;
        let mut whole = String::new();
        for chunk in chunks(native, self.settings.chunk_tokens, from) {
            let text = chunk.trim();
            if !text.chars().any(char::is_alphanumeric) {
                whole.push_str(chunk);
                continue;
            }
            let ask = Ask::Chat {
                role: Role::Translate,
                prompt: PROMPT.to_owned(),
                system: system.clone(),
                user: self.prompts.render(PROMPT, "user", context! { lang, text })?,
                max_tokens: u32::try_from(tokens_of(text) * 3 + 256).unwrap_or(u32::MAX),
                temperature_milli: self.settings.temperature_milli,
                schema: None,
                logprobs: false,
            };
            let (reply, _) = ask_chat(desk, ask).await?;
            let reply = unfenced(&reply).ok_or(End::Faulted(Reason::Malformed, 0.0))?;
            let english = gates::said(&reply)?;
            gates::no_refusal(english)?;
            gates::in_script(english, self.english)?;
            let (least, most) = (self.settings.least_ratio, self.settings.most_ratio);
            gates::ratio_within(text, from, english, self.english, least, most)?;
            let tail = chunk.get(chunk.trim_end().len()..).unwrap_or_default();
            whole.push_str(english);
            whole.push_str(if tail.is_empty() { " " } else { tail });
        }
        Ok(whole)
    }
}

/// English, as the table of langs has it.
pub(crate) fn english() -> Result<Lang> {
    Lang::from_tag("eng_Latn").ok_or_else(|| Error::bug("no English in the table of langs"))
}

impl Clerk for Translate {
    fn stage(&self) -> Stage {
        Stage::Translate
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let ended = self.translated(exchange).await.map(|text| exchange.response_en = text);
            settle(self.stage(), exchange, ended)
        })
    }
}

#[cfg(test)]
mod tests;
