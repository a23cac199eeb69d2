//! Instructions by a chat model: one turn, one style, `unfit` allowed, then the gates.

use super::Style;
use crate::error::{Error, Result};
use crate::llm::prompt::{Prompts, unfenced};
use crate::llm::{Ask, Desk, Role};
use crate::model::Reason;
use crate::stage::ending::{End, MALFORMED, ask_chat, object_of};
use crate::stage::gates;
use crate::stage::within;
use minijinja::context;
use serde::{Deserialize, Serialize};

/// The prompt.
const PROMPT: &str = "instruct-1";

/// The reply's schema, for endpoints that can force one.
const SCHEMA: &str = r#"{"type":"object","properties":{"unfit":{"type":"boolean"},"instruction":{"type":"string"}},"required":["unfit","instruction"],"additionalProperties":false}"#;

/// How a chat model is asked, and what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatSettings {
    /// The styles, drawn per id; one listed twice is drawn twice as often. At least one.
    pub styles: Vec<Style>,
    /// Least characters of an instruction, `1..=600`.
    pub least_chars: usize,
    /// Most characters, `15..=4000`.
    pub most_chars: usize,
    /// Most words in a row that it may share with the response, `1..=100`.
    pub most_copied_words: usize,
    /// Most tokens of the reply, `32..=16384`. Models that think before they answer need many.
    pub max_tokens: u32,
    /// Sampling temperature in thousandths, `0..=2000`.
    pub temperature_milli: u32,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            styles: Style::ALL.to_vec(),
            least_chars: 15,
            most_chars: 600,
            most_copied_words: 7,
            max_tokens: 400,
            temperature_milli: 0,
        }
    }
}

impl ChatSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        if self.styles.is_empty() {
            let names = Style::ALL.map(Style::name);
            return Err(Error::config(format!(
                "setting missing: key={key}.styles, value=[], range={names:?}, remedy=name at least one"
            )));
        }
        within(key, "least_chars", self.least_chars, 1..=600)?;
        within(key, "most_chars", self.most_chars, 15..=4000)?;
        within(key, "most_copied_words", self.most_copied_words, 1..=100)?;
        within(key, "max_tokens", self.max_tokens, 32..=16_384)?;
        within(key, "temperature_milli", self.temperature_milli, 0..=2000)
    }
}

/// What the schema says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default)]
    unfit: bool,
    #[serde(default)]
    instruction: String,
}

/// Asks for the instruction of `text`, bounded already.
pub(super) async fn write(
    desk: &Desk,
    prompts: &Prompts,
    settings: &ChatSettings,
    style: Style,
    text: &str,
) -> Result<String, End> {
    let ask = Ask::Chat {
        role: Role::Instruct,
        prompt: PROMPT.to_owned(),
        system: prompts.render(PROMPT, "system", context! {})?,
        user: prompts.render(PROMPT, "user", context! { style => style.name(), text })?,
        max_tokens: settings.max_tokens,
        temperature_milli: settings.temperature_milli,
        schema: Some(SCHEMA.to_owned()),
        logprobs: false,
    };
    let (reply, _) = ask_chat(desk, ask).await?;
    let instruction = instruction_of(&reply)?;
    let instruction = gates::said(&instruction)?;
    let judged =
        |finding: Result<(), gates::Finding>| finding.map_err(|(reason, value)| End::Dropped(reason, value));
    gates::no_refusal(instruction)?;
    judged(gates::length_within(instruction, settings.least_chars, settings.most_chars))?;
    judged(gates::no_reference(instruction, text))?;
    judged(gates::no_copy(instruction, text, settings.most_copied_words))?;
    gates::no_loop(instruction, "")?;
    gates::in_script(instruction, crate::stage::translate::english()?)?;
    Ok(instruction.to_owned())
}

/// The instruction of a reply: the JSON object of the schema, with or without a code fence around it, or the line `UNFIT`.
fn instruction_of(reply: &str) -> Result<String, End> {
    let reply = reply.trim();
    if reply.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case("unfit") {
        return Err(End::Dropped(Reason::Unfit, 0.0));
    }
    if reply.is_empty() {
        return Err(End::Faulted(Reason::EmptyReply, 0.0));
    }
    gates::no_refusal(reply)?;
    let said: Said = object_of(reply).ok_or(MALFORMED)?;
    if said.unfit {
        return Err(End::Dropped(Reason::Unfit, 0.0));
    }
    // A marker within an instruction means that the model copies its material.
    unfenced(&said.instruction).ok_or(MALFORMED)
}
