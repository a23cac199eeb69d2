//! Instructions by a very small model: forced openers, grounding, gain.
//!
//! **Why**: a model of 135 million parameters writes a good request about half the time and cannot tell which half. So it
//! is shown five examples and completes each of several forced openers greedily; what did not end, copies the text, strays
//! to the examples or does not stand on the text is left out; the rest is ranked by how much the request helps the model
//! to expect the text.

use crate::error::{Error, Result};
use crate::llm::prompt::{Prompts, defuse};
use crate::llm::{Answer, Ask, Completion, Desk};
use crate::model::Reason;
use crate::stage::ending::{End, MALFORMED, ask_logprobs};
use crate::stage::excerpt::excerpt;
use crate::stage::translate::english;
use crate::stage::{gates, within};
use minijinja::context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The prompt.
const PROMPT: &str = "recipe-1";

/// How a small model is led, and what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipeSettings {
    /// Most characters of the English response that the model reads, cut behind a sentence, `100..=4000`.
    pub text_chars: usize,
    /// The forced beginnings, `1..=32` of them, each without white space around it.
    pub openers: Vec<String>,
    /// Most tokens behind an opener, `4..=200`.
    pub max_tokens: u32,
    /// Least characters of a request, `1..=200`.
    pub least_chars: usize,
    /// Most characters, `20..=1000`.
    pub most_chars: usize,
    /// Most words in a row that a request may share with the text, `1..=100`.
    pub most_copied_words: usize,
    /// Least share of a request's content words (by their first five letters) that the text has, `0.0..=1.0`.
    pub least_grounded: f64,
    /// Tokens at the beginning of the text whose log-probability counts, `8..=1000`.
    pub gain_tokens: u32,
}

impl Default for RecipeSettings {
    fn default() -> Self {
        let openers = [
            "What is",
            "How",
            "Why",
            "Explain",
            "Describe",
            "Tell me about",
            "Write a short text about",
            "Write a short news report about",
        ];
        Self {
            text_chars: 1200,
            openers: openers.map(str::to_owned).to_vec(),
            max_tokens: 40,
            least_chars: 15,
            most_chars: 300,
            most_copied_words: 5,
            least_grounded: 0.7,
            gain_tokens: 100,
        }
    }
}

impl RecipeSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        within(key, "text_chars", self.text_chars, 100..=4000)?;
        within(key, "openers.len", self.openers.len(), 1..=32)?;
        if let Some(opener) = self.openers.iter().find(|opener| opener.trim() != *opener || opener.is_empty())
        {
            return Err(Error::config(format!(
                "opener with white space around it: key={key}.openers, value={opener:?}, remedy=trim it"
            )));
        }
        within(key, "max_tokens", self.max_tokens, 4..=200)?;
        within(key, "least_chars", self.least_chars, 1..=200)?;
        within(key, "most_chars", self.most_chars, 20..=1000)?;
        within(key, "most_copied_words", self.most_copied_words, 1..=100)?;
        within(key, "least_grounded", self.least_grounded, 0.0..=1.0)?;
        within(key, "gain_tokens", self.gain_tokens, 8..=1000)
    }
}

/// A request and what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The request.
    pub request: String,
    /// Mean log-probability of the text's beginning with the request less that without it, in nats per token.
    pub gain: f64,
}

/// The recipe with its examples.
pub struct Recipe {
    prompts: Arc<Prompts>,
    examples: String,
    foreign: BTreeSet<String>,
    settings: RecipeSettings,
}

impl Recipe {
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the examples are gone.
    pub fn new(prompts: Arc<Prompts>, settings: RecipeSettings) -> Result<Self> {
        let examples = prompts.text("recipe-1.txt")?.trim_end().to_owned() + "\n\n";
        let foreign = gates::content_stems(&examples);
        Ok(Self { prompts, examples, foreign, settings })
    }

    /// The best request for an English text.
    pub(crate) async fn write(&self, desk: &Desk, text: &str) -> Result<Candidate, End> {
        let best = self.candidates(desk, text).await?.into_iter().next();
        best.ok_or(End::Dropped(Reason::NoCandidate, 0.0))
    }

    /// Every request that passes, the best first; equal gains in the order of the openers.
    pub(crate) async fn candidates(&self, desk: &Desk, text: &str) -> Result<Vec<Candidate>, End> {
        let text = self.line_of(text)?;
        let ask = Ask::Complete {
            prefix: self.examples.clone(),
            prompt: self.prompts.render(PROMPT, "ask", context! { text => text.as_str() })?,
            openers: self.settings.openers.iter().map(|opener| format!(" {opener}")).collect(),
            max_tokens: self.settings.max_tokens,
        };
        let Answer::Completions(completions) = desk.ask(&ask).await? else {
            return Err(MALFORMED);
        };
        if completions.len() != self.settings.openers.len() {
            return Err(MALFORMED);
        }
        let requests = self.passing(&completions, &text);
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let gains = gains(desk, &self.prompts, &requests, &text, self.settings.gain_tokens).await?;
        let mut candidates: Vec<Candidate> =
            requests.into_iter().zip(gains).map(|(request, gain)| Candidate { request, gain }).collect();
        candidates.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        Ok(candidates)
    }

    /// What the model reads of a text: its beginning as one line.
    fn line_of(&self, text: &str) -> Result<String> {
        line_of(text, self.settings.text_chars)
    }

    /// The requests that pass the gates, in the order of the openers, each once.
    fn passing(&self, completions: &[Completion], text: &str) -> Vec<String> {
        let own = gates::content_stems(text);
        let mut requests: Vec<String> = Vec::new();
        for (opener, completion) in self.settings.openers.iter().zip(completions) {
            let request = format!("{opener}{}", completion.text);
            let request = request.split_whitespace().collect::<Vec<_>>().join(" ");
            if completion.ended && self.passes(&request, text, &own) && !requests.contains(&request) {
                requests.push(request);
            }
        }
        requests
    }

    fn passes(&self, request: &str, text: &str, own: &BTreeSet<String>) -> bool {
        let settings = &self.settings;
        let whole = request.ends_with(['.', '?', '!']);
        whole
            && gates::length_within(request, settings.least_chars, settings.most_chars).is_ok()
            && gates::well_put(request, text).is_ok()
            && gates::no_reference(request, text).is_ok()
            && gates::no_copy(request, text, settings.most_copied_words).is_ok()
            && gates::no_loop(request, "").is_ok()
            && gates::no_echo(request).is_ok()
            && gates::grounded(&gates::content_stems(request), own, &self.foreign, settings.least_grounded)
                .is_ok()
    }
}

/// The beginning of a text as one line without control tokens.
pub(crate) fn line_of(text: &str, most_chars: usize) -> Result<String> {
    let text = excerpt(text, most_chars, english()?);
    Ok(defuse(text).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How much each request helps to expect the text, in nats per token of its first `most_tokens`.
pub(crate) async fn gains(
    desk: &Desk,
    prompts: &Prompts,
    requests: &[String],
    line: &str,
    most_tokens: u32,
) -> Result<Vec<f64>, End> {
    let mut contexts = vec![prompts.render(PROMPT, "context", context! { request => "" })?];
    for request in requests {
        contexts.push(prompts.render(PROMPT, "context", context! { request => defuse(request) })?);
    }
    let values = ask_logprobs(desk, Ask::LogProb { contexts, text: format!(" {line}"), most_tokens }).await?;
    let bare = values.first().copied().unwrap_or_default();
    Ok(values.iter().skip(1).map(|value| value - bare).collect())
}
