//! Chat completions, as OpenAI, vLLM, `SGLang`, llama.cpp, Ollama and TGI speak them.

use super::endpoint::HttpEndpoint;
use crate::config::endpoints::{SchemaMode, TokenLimit};
use crate::error::Error;
use crate::llm::{Answer, Ask, Finish, Refusal, Reply, Token, Usage};
use crate::model::Reason;
use serde::de::DeserializeOwned;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    guided_json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_outputs: Option<Value>,
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
    said(endpoint, ask, page)
}

/// The body of a request, as JSON.
///
/// # Errors
/// A [`Refusal`] of an ask that is no turn.
pub(super) fn written(endpoint: &HttpEndpoint, ask: &Ask) -> Result<Vec<u8>, Refusal> {
    encoded(&body(endpoint, ask)?)
}

/// A request as JSON.
pub(super) fn encoded(body: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(body)
        .map_err(|cause| Refusal::Fatal(Error::bug("request not written as JSON").because(cause)))
}

/// What a reply that came another way says.
///
/// # Errors
/// As [`ask`].
pub(super) fn understood(endpoint: &HttpEndpoint, ask: &Ask, reply: Value) -> Result<Reply, Refusal> {
    said(endpoint, ask, page_of(reply)?)
}

/// A reply that came another way; one that is not understood is billed as far as it counts.
pub(super) fn page_of<T: DeserializeOwned>(reply: Value) -> Result<T, Refusal> {
    let usage = reply.get("usage").cloned();
    serde_json::from_value(reply).map_err(|cause| {
        let billed: Option<Count> = usage.and_then(|usage| serde_json::from_value(usage).ok());
        let refusal = Refusal::Transient(Reason::Garbled, format!("reply not understood: {cause}"));
        of_no_use(refusal, billed.map(|count| count.or(Usage::default)))
    })
}

fn said(endpoint: &HttpEndpoint, ask: &Ask, page: Page) -> Result<Reply, Refusal> {
    let billed = page.usage.map(|count| count.or(Usage::default));
    let reply = endpoint.same_model(page.model.as_deref()).and_then(|()| page.reply(endpoint, ask));
    reply.map_err(|refusal| of_no_use(refusal, billed))
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
    let schema = schema.as_ref().filter(|_| endpoint.schema_mode != SchemaMode::None);
    let schema: Option<Value> = schema
        .map(|schema| serde_json::from_str(schema))
        .transpose()
        .map_err(|cause| Refusal::Fatal(Error::bug("schema of a prompt is no JSON").because(cause)))?;
    let mut guided = [None, None];
    let response_format = schema.and_then(|schema| match endpoint.schema_mode {
        SchemaMode::None => None,
        SchemaMode::JsonSchema => {
            let named = json!({ "name": "reply", "strict": true, "schema": schema });
            Some(json!({ "type": "json_schema", "json_schema": named }))
        }
        SchemaMode::JsonObject => Some(json!({ "type": "json_object" })),
        SchemaMode::JsonObjectSchema => Some(json!({ "type": "json_object", "schema": schema })),
        SchemaMode::Json => Some(json!({ "type": "json", "value": schema })),
        SchemaMode::GuidedJson => {
            guided[0] = Some(schema);
            None
        }
        SchemaMode::StructuredOutputs => {
            guided[1] = Some(json!({ "json": schema }));
            None
        }
    });
    let [guided_json, structured_outputs] = guided;
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
        guided_json,
        structured_outputs,
        extra: &endpoint.extra,
    })
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Count>,
    #[serde(default)]
    model: Option<String>,
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

/// A refusal of a reply that came with its usage: it is billed.
pub(super) fn of_no_use(refusal: Refusal, billed: Option<Usage>) -> Refusal {
    match billed {
        Some(usage) => refusal.paid(usage),
        None => refusal,
    }
}

/// What an endpoint counts.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Count {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// What a reply counts; guessed where something is missing.
pub(super) fn counted(count: Option<Count>, guessed: impl FnOnce() -> Usage) -> Usage {
    match count {
        Some(count) => count.or(guessed),
        None => guessed(),
    }
}

impl Count {
    /// What is counted; what is not, or is 0 where it cannot be, as guessed.
    pub(super) fn or(self, guessed: impl FnOnce() -> Usage) -> Usage {
        let told = |count: Option<u64>| count.filter(|count| *count > 0);
        match (told(self.prompt_tokens), told(self.completion_tokens)) {
            (Some(input_tokens), Some(output_tokens)) => Usage { input_tokens, output_tokens },
            (read, written) => {
                let Usage { input_tokens, output_tokens } = guessed();
                let (read, written) = (read.unwrap_or(input_tokens), written.unwrap_or(output_tokens));
                Usage { input_tokens: read, output_tokens: written }
            }
        }
    }
}

impl Page {
    fn reply(self, endpoint: &HttpEndpoint, ask: &Ask) -> Result<Reply, Refusal> {
        if let Some(error) = self.error.filter(|error| !error.is_null()) {
            return Err(endpoint.wire.told(&error));
        }
        let Some(choice) = self.choices.into_iter().flatten().next() else {
            return Err(Refusal::Transient(Reason::Garbled, "reply without a choice".to_owned()));
        };
        let text = choice.message.content;
        if matches!(choice.finish_reason.as_deref(), Some("error" | "abort" | "timeout")) {
            return Err(Refusal::Transient(Reason::GaveUp, "the server broke the reply off".to_owned()));
        }
        let text = match text {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
            None => String::new(),
        };
        let (text, refused) = match choice.message.refusal {
            Some(refusal) if text.is_empty() => (refusal, true),
            _ => (text, false),
        };
        let counter = &endpoint.counter;
        let guessed = || Usage { input_tokens: counter.input_of(ask), output_tokens: counter.count(&text) };
        let usage = counted(self.usage, guessed);
        let (text, thinking) = thought_through(text);
        let finish = match choice.finish_reason.as_deref() {
            Some("length" | "max_tokens" | "model_length") => Finish::Length,
            Some("content_filter" | "safety" | "refusal") => Finish::Filtered,
            _ if refused => Finish::Filtered,
            _ if thinking => Finish::Length,
            _ => Finish::Stop,
        };
        let first = choice.logprobs.and_then(|all| all.content).and_then(|all| all.into_iter().next());
        Ok(Reply { answer: Answer::Chat { text, finish, first: candidates(first) }, usage })
    }
}

/// A reply without the thoughts that some servers leave at its beginning; whether they were cut off before their end.
fn thought_through(text: String) -> (String, bool) {
    match text.trim_start().strip_prefix("<think>") {
        None => (text, false),
        Some(thoughts) => match thoughts.split_once("</think>") {
            Some((_, reply)) => (reply.trim_start().to_owned(), false),
            None => (String::new(), true),
        },
    }
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
