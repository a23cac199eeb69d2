//! Writes an English instruction that the English response answers.
//!
//! **Why**: the response is human and native; only the question is made. A large model is asked for it in one of several
//! styles and may say that none fits ([`chat`]); a small one cannot be trusted with that, so it completes forced openers
//! and arithmetic picks among them ([`recipe`]).
//!
//! **In** `response_en`. **Out** `instruction_en`, and with the recipe `gain`. **Asks** [`Ask::Chat`](crate::llm::Ask) where
//! offered, else [`Ask::Complete`](crate::llm::Ask) and [`Ask::LogProb`](crate::llm::Ask). **Drops** [`Reason::NoCandidate`],
//! [`Reason::Unfit`], and replies that miss a gate.

pub mod chat;
pub mod recipe;
pub mod style;

use super::clerk::Clerk;
use super::ending::{End, settle};
use crate::error::{Error, Result};
use crate::llm::prompt::Prompts;
use crate::llm::{Desk, Pending};
use crate::model::{Exchange, Reason, Stage};
use chat::ChatSettings;
use recipe::{Recipe, RecipeSettings};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use style::{Style, instruction_style};

/// How instructions are written, and what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstructSettings {
    /// Most characters of the English response that a chat model reads, cut behind a sentence, `200..=20000`.
    pub text_chars: usize,
    /// Small models: forced openers.
    pub recipe: RecipeSettings,
    /// Chat models.
    pub chat: ChatSettings,
}

impl Default for InstructSettings {
    fn default() -> Self {
        Self { text_chars: 4000, recipe: RecipeSettings::default(), chat: ChatSettings::default() }
    }
}

impl InstructSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        super::within(key, "text_chars", self.text_chars, 200..=20_000)?;
        self.recipe.check(&format!("{key}.recipe"))?;
        self.chat.check(&format!("{key}.chat"))
    }
}

/// The clerk of the stage.
pub struct Instruct {
    desk: Desk,
    prompts: Arc<Prompts>,
    recipe: Recipe,
    seed: u64,
    settings: InstructSettings,
}

impl Instruct {
    /// * `seed`: draws the style of each id.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if a built-in prompt is gone.
    pub fn new(desk: Desk, prompts: Arc<Prompts>, seed: u64, settings: InstructSettings) -> Result<Self> {
        let recipe = Recipe::new(Arc::clone(&prompts), settings.recipe.clone())?;
        Ok(Self { desk, prompts, recipe, seed, settings })
    }

    async fn instructed(&self, exchange: &mut Exchange) -> Result<(), End> {
        let offers = self.desk.offers();
        if offers.chat {
            let text = super::excerpt::excerpt(
                &exchange.response_en,
                self.settings.text_chars,
                super::translate::english()?,
            );
            let style = instruction_style(exchange.id, self.seed, &self.settings.chat.styles);
            exchange.instruction_en =
                chat::write(&self.desk, &self.prompts, &self.settings.chat, style, text).await?;
            return Ok(());
        }
        if offers.complete {
            let best = self.recipe.write(&self.desk, &exchange.response_en).await?;
            exchange.instruction_en = best.request;
            exchange.gain = Some(best.gain);
            return Ok(());
        }
        Err(End::Faulted(Reason::NoCandidate, 0.0))
    }
}

impl Clerk for Instruct {
    fn stage(&self) -> Stage {
        Stage::Instruct
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let ended = self.instructed(exchange).await;
            settle(self.stage(), exchange, ended)
        })
    }
}

#[cfg(test)]
mod tests;
