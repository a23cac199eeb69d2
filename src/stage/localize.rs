//! Translates instructions back to the native language.
//!
//! **Why**: the response is native, so the question must be. Only pairs that selection kept come here, so a call is paid
//! once per row of the output. A translator that chats also sees the response, for its words.
//!
//! **In** `instruction_en`, `response`, `lang`. **Out** `instruction`. **Asks** [`Ask::Translate`] where the endpoint offers
//! the pair, else [`Ask::Chat`]; English is asked nobody. **Faults** every gate of [`gates`], [`Reason::NoTranslator`].

use super::clerk::Clerk;
use super::ending::{End, MALFORMED, ask_chat, ask_text, settle};
use super::excerpt::{excerpt, tokens_of};
use super::gates::{self, Finding, Tongue};
use super::identify::Identifier;
use super::translate::english;
use crate::error::{Error, Result};
use crate::llm::prompt::{Prompts, unfenced};
use crate::llm::{Ask, Desk, Pending, Role};
use crate::model::{Exchange, Lang, Reason, Stage};
use minijinja::context;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The prompt of chat models.
const PROMPT: &str = "localize-1";

/// How instructions are translated back, and what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalizeSettings {
    /// Most characters of the response that a chat model sees for reference, `0..=20000`.
    pub reference_chars: usize,
    /// Sampling temperature of a chat model in thousandths, `0..=2000`.
    pub temperature_milli: u32,
    /// Least characters of the native instruction per character of the English one, where one of a dense script counts
    /// 2.6; `0.0..=1.0`. Twenty characters of grace.
    pub least_ratio: f64,
    /// Most of them, `1.0..=20.0`. Twenty characters of grace.
    pub most_ratio: f64,
    /// How sure the language model must be of another language for a fault, `0.0..=1.0`. Instructions are short, and short
    /// texts of neighbouring languages look alike.
    pub other_lang: f64,
}

impl Default for LocalizeSettings {
    fn default() -> Self {
        Self {
            reference_chars: 1500,
            temperature_milli: 0,
            least_ratio: 0.4,
            most_ratio: 2.5,
            other_lang: 0.8,
        }
    }
}

impl LocalizeSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        super::within(key, "reference_chars", self.reference_chars, 0..=20_000)?;
        super::within(key, "temperature_milli", self.temperature_milli, 0..=2000)?;
        super::within(key, "least_ratio", self.least_ratio, 0.0..=1.0)?;
        super::within(key, "most_ratio", self.most_ratio, 1.0..=20.0)?;
        super::within(key, "other_lang", self.other_lang, 0.0..=1.0)
    }
}

/// The clerk of the stage.
pub struct Localize {
    desks: Vec<Desk>,
    prompts: Arc<Prompts>,
    tongue: Tongue,
    english: Lang,
    settings: LocalizeSettings,
}

impl Localize {
    /// * `identifier`: tells the language of a translation; without one, only its script is looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if `data/langs.tsv` lost English.
    pub fn new(
        desk: Desk,
        prompts: Arc<Prompts>,
        identifier: Option<Arc<dyn Identifier>>,
        settings: LocalizeSettings,
    ) -> Result<Self> {
        let tongue = Tongue::new(identifier, settings.other_lang, 1000);
        Ok(Self { desks: vec![desk], prompts, tongue, english: english()?, settings })
    }

    /// Another endpoint, asked for the pairs that the first ones do not have.
    #[must_use]
    pub fn or_ask(mut self, desk: Desk) -> Self {
        self.desks.push(desk);
        self
    }

    async fn localized(&self, exchange: &Exchange) -> Result<String, End> {
        let (from, to, asked) = (self.english, exchange.lang, exchange.instruction_en.as_str());
        if to == from {
            return Ok(gates::said(asked)?.to_owned());
        }
        let reply = if let Some(desk) = self.desks.iter().find(|desk| desk.translates(from, to)) {
            ask_text(desk, Ask::Translate { from, to, text: asked.to_owned() }).await?
        } else if let Some(desk) = self.desks.iter().find(|desk| desk.offers().chat && to != Lang::UND) {
            self.chat(desk, exchange).await?
        } else {
            return Err(End::Faulted(Reason::NoTranslator, 0.0));
        };
        let native = bare(gates::said(&reply)?, asked);
        let settings = &self.settings;
        gates::no_refusal(native)?;
        gates::one_line(native)?;
        not_left_as_it_was(native, asked)?;
        self.tongue.speaks(native, to)?;
        gates::ratio_within(asked, from, native, to, settings.least_ratio, settings.most_ratio)?;
        gates::no_loop(native, asked)?;
        gates::digits_kept(asked, from, native, to)?;
        Ok(native.to_owned())
    }

    async fn chat(&self, desk: &Desk, exchange: &Exchange) -> Result<String, End> {
        let lang = exchange.lang;
        let facts = context! {
            lang => lang.english_name(),
            name => lang.name(),
            instruction => exchange.instruction_en.as_str(),
            response => excerpt(&exchange.response, self.settings.reference_chars, lang),
        };
        let ask = Ask::Chat {
            role: Role::Localize,
            prompt: PROMPT.to_owned(),
            system: self.prompts.render(PROMPT, "system", context! {})?,
            user: self.prompts.render(PROMPT, "user", facts)?,
            max_tokens: u32::try_from(tokens_of(&exchange.instruction_en) * 6 + 256).unwrap_or(u32::MAX),
            temperature_milli: self.settings.temperature_milli,
            schema: None,
            logprobs: false,
        };
        let (reply, _) = ask_chat(desk, ask).await?;
        unfenced(&reply).ok_or(MALFORMED)
    }
}

/// A reply without the quotation marks that a chat model puts around all of it; those of the instruction stay.
fn bare<'a>(reply: &'a str, asked: &str) -> &'a str {
    let pairs = [('"', '"'), ('“', '”'), ('«', '»'), ('„', '“'), ('「', '」'), ('\'', '\'')];
    let inside = pairs.iter().find_map(|(open, close)| {
        let inside = reply.strip_prefix(*open)?.strip_suffix(*close)?;
        (!asked.starts_with(*open) && !inside.contains([*open, *close])).then_some(inside)
    });
    inside.unwrap_or(reply).trim()
}

/// Not the English again: fewer than four of its words in a row, or less than six tenths of the reply.
fn not_left_as_it_was(native: &str, asked: &str) -> Result<(), Finding> {
    let (native_words, asked_words) = (gates::words(native), gates::words(asked));
    let run = gates::copied_run(&native_words, &asked_words);
    let same = native == asked && run > 1;
    if same || (run >= 4 && run * 10 >= native_words.len() * 6) {
        return Err((Reason::Copy, run as f64));
    }
    Ok(())
}

impl Clerk for Localize {
    fn stage(&self) -> Stage {
        Stage::Localize
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let ended = self.localized(exchange).await.map(|text| exchange.instruction = text);
            settle(self.stage(), exchange, ended)
        })
    }
}

#[cfg(test)]
mod tests;
