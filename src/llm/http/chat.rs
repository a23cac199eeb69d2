//! Chat completions, as OpenAI, vLLM, `SGLang`, llama.cpp and Ollama speak them.

use super::endpoint::HttpEndpoint;
use crate::config::endpoints::TokenLimit;
use crate::error::Error;
use crate::llm::{Answer, Ask, Finish, Refusal, Reply, Token, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Candidates for the first token that are asked for; the API's own most.
const CANDIDATES: u32 = 20;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// Asks one turn.
///
/// # Errors
/// A [`Refusal`].
pub async fn ask(endpoint: &HttpEndpoint, ask: &Ask) -> Result<Reply, Refusal> {
    let body = body(endpoint, ask)?;
    let page: Page = endpoint.wire.post(&endpoint.urls.chat, &body).await?;
    page.reply(ask)
}

fn body<'a>(endpoint: &'a HttpEndpoint, ask: &'a Ask) -> Result<Body<'a>, Refusal> {
    let Ask::Chat { system, user, max_tokens, temperature_milli, schema, logprobs, .. } = ask else {
        return Err(Refusal::Fatal(Error::bug("chat asked without a turn")));
    };
    let mut messages = Vec::with_capacity(2);
    if !system.is_empty() {
        messages.push(Message { role: "system", content: system });
    }
    messages.push(Message { role: "user", content: user });
    let response_format = match schema.as_ref().filter(|_| endpoint.schema_mode) {
        None => None,
        Some(schema) => {
            let schema: Value = serde_json::from_str(schema).map_err(|cause| {
                Refusal::Fatal(Error::bug("schema of a prompt is no JSON").because(cause))
            })?;
            let named = json!({ "name": "reply", "strict": true, "schema": schema });
            Some(json!({ "type": "json_schema", "json_schema": named }))
        }
    };
    let limit = |at| (endpoint.token_limit == at).then_some(*max_tokens);
    Ok(Body {
        model: &endpoint.model,
        messages,
        max_tokens: limit(TokenLimit::MaxTokens),
        max_completion_tokens: limit(TokenLimit::MaxCompletionTokens),
        temperature: endpoint.temperature.unwrap_or(f64::from(*temperature_milli) / 1000.0),
        logprobs: logprobs.then_some(true),
        top_logprobs: logprobs.then_some(CANDIDATES),
        response_format,
        extra: &endpoint.extra,
    })
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Count>,
    /// Some servers send errors with status 200.
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<LogProbs>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    content: Option<Vec<Position>>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    top_logprobs: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    token: String,
    logprob: f64,
}

/// What an endpoint counts.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Count {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl Count {
    pub(super) fn usage(self) -> Usage {
        Usage { input_tokens: self.prompt_tokens, output_tokens: self.completion_tokens }
    }
}

/// Tokens of a text where the endpoint counts none: four bytes each.
pub(super) fn guess(text: &str) -> u64 {
    u64::try_from(text.len().div_ceil(4)).unwrap_or(u64::MAX)
}

impl Page {
    fn reply(self, ask: &Ask) -> Result<Reply, Refusal> {
        let Some(choice) = self.choices.into_iter().next() else {
            let said = self.error.map_or_else(|| "no choices".to_owned(), |error| error.to_string());
            return Err(Refusal::Transient(format!(
                "reply without an answer: said={:?}",
                super::status::spoken(&said)
            )));
        };
        let text = match choice.message.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
            None => String::new(),
        };
        let (text, refused) = match choice.message.refusal {
            Some(refusal) if text.is_empty() => (refusal, true),
            _ => (text, false),
        };
        let finish = match choice.finish_reason.as_deref() {
            Some("length" | "max_tokens") => Finish::Length,
            Some("content_filter") => Finish::Filtered,
            _ if refused => Finish::Filtered,
            _ => Finish::Stop,
        };
        let usage = self.usage.map_or_else(|| guessed(ask, &text), Count::usage);
        let first = choice.logprobs.and_then(|all| all.content).and_then(|all| all.into_iter().next());
        Ok(Reply { answer: Answer::Chat { text, finish, first: candidates(first) }, usage })
    }
}

fn guessed(ask: &Ask, text: &str) -> Usage {
    let input_tokens = match ask {
        Ask::Chat { system, user, .. } => guess(system) + guess(user),
        _ => 0,
    };
    Usage { input_tokens, output_tokens: guess(text) }
}

/// Likeliest first; servers send them so, mostly.
fn candidates(first: Option<Position>) -> Vec<Token> {
    let mut all: Vec<Token> = first
        .into_iter()
        .flat_map(|position| position.top_logprobs)
        .filter(|candidate| candidate.logprob.is_finite())
        .map(|candidate| Token { text: candidate.token, logprob: candidate.logprob })
        .collect();
    all.sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then_with(|| a.text.cmp(&b.text)));
    all
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
