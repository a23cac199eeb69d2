//! An OpenAI-compatible server on loopback with a model that answers from the request alone: chat and embeddings.

#[path = "loopback.rs"]
pub(crate) mod loopback;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use isogloss::llm::scripted::echo;
use isogloss::llm::{Answer, Ask, Role};
use loopback::serve;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What the server saw: times that each request (its whole body) was answered.
#[derive(Default)]
pub(crate) struct Bill {
    pub(crate) answered: BTreeMap<Vec<u8>, u32>,
}

impl Bill {
    /// Requests answered, repeats included.
    pub(crate) fn all(&self) -> u32 {
        self.answered.values().sum()
    }

    /// Answers to a request that had been answered before.
    pub(crate) fn again(&self) -> u32 {
        self.answered.values().map(|times| times - 1).sum()
    }
}

/// A running server; it ends with its runtime.
#[derive(Clone)]
pub(crate) struct Models {
    pub(crate) url: String,
    bill: Arc<Mutex<Bill>>,
}

impl Models {
    /// Starts one that answers each request after `delay`.
    pub(crate) async fn start(delay: Duration) -> Self {
        let mut server = Self { url: String::new(), bill: Arc::default() };
        let ours = server.clone();
        server.url = serve(move |request| handle(ours.clone(), delay, request)).await;
        server
    }

    /// What it saw so far.
    pub(crate) fn bill(&self) -> MutexGuard<'_, Bill> {
        self.bill.lock().expect("no panic")
    }

    /// Settings that send every role to it.
    pub(crate) fn settings(&self) -> String {
        format!(
            "roles = {{ translate = 'm', instruct = 'm', score = 'm', embed = 'm', localize = 'm' }}\n\
             [endpoints.m]\nkind = 'http'\nurl = '{}'\nmodel = 'echo'\nin_flight = 16\n\
             [select]\ncodebook = 'none'\n[score]\nleast_cosine = -1.0\n",
            self.url
        )
    }
}

async fn handle(
    server: Models,
    delay: Duration,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let chat = request.uri().path().ends_with("/chat/completions");
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    tokio::time::sleep(delay).await;
    let said = if chat { chatted(&asked) } else { embedded(&asked) };
    *server.bill().answered.entry(body.to_vec()).or_default() += 1;
    let reply = Response::builder().header("content-type", "application/json");
    reply.body(Full::new(Bytes::from(said.to_string()))).map_err(io::Error::other)
}

fn embedded(asked: &Value) -> Value {
    let text = asked["input"].as_str().expect("one text").to_owned();
    let Answer::Vector(vector) = echo::answer(&Ask::Embed { text }) else { unreachable!("a vector") };
    json!({ "data": [{ "embedding": vector }], "usage": { "prompt_tokens": 9 } })
}

fn chatted(asked: &Value) -> Value {
    let message = |role| {
        let all = asked["messages"].as_array().expect("messages");
        all.iter().find(|one| one["role"] == role).and_then(|one| one["content"].as_str()).expect("a message")
    };
    let (system, user) = (message("system"), message("user"));
    let known = [
        ("You write the request", Role::Instruct),
        ("You translate a request", Role::Localize),
        ("You translate web text", Role::Translate),
        ("You judge pairs", Role::Score),
    ];
    let role = known.iter().find(|(start, _)| system.starts_with(start)).expect("a prompt of the project").1;
    let ask = Ask::Chat {
        role,
        prompt: String::new(),
        system: system.to_owned(),
        user: unfenced(user),
        max_tokens: 400,
        temperature_milli: 0,
        schema: None,
        logprobs: false,
    };
    let Answer::Chat { text, first, .. } = echo::answer(&ask) else { unreachable!("a turn") };
    let text = if role == Role::Localize { native(user) } else { text };
    let candidates: Vec<Value> =
        first.iter().map(|token| json!({ "token": token.text, "logprob": token.logprob })).collect();
    json!({
        "choices": [{
            "message": { "role": "assistant", "content": text },
            "finish_reason": "stop",
            "logprobs": { "content": [{ "top_logprobs": candidates }] },
        }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 5 },
    })
}

/// Words of the answer that the prompt shows for reference, in another order, and so in its language.
fn native(user: &str) -> String {
    let answer = user.rsplit_once("\n[[").map_or("", |(_, answer)| answer);
    let answer = answer.split_once('\n').map_or("", |(_, answer)| answer);
    let answer: String =
        answer.split("]]").next().unwrap_or("").chars().filter(|c| !c.is_numeric()).collect();
    let mut words: Vec<&str> = answer.split_whitespace().take(12).collect();
    words.reverse();
    // One word of many characters is a sentence of a script without spaces.
    let most = if words.iter().any(|word| word.chars().count() > 30) { 24 } else { 80 };
    words.join(" ").chars().take(most).collect()
}

/// The message with the same marker in all of them: the markers are keyed by a secret of the state, and an answer must
/// not depend on it.
fn unfenced(user: &str) -> String {
    let lines = user.lines().map(|line| {
        let code = |text: &str| text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit());
        match (line.strip_prefix("[["), line.strip_suffix("]]")) {
            (Some(inner), None) if code(inner) => "[[00",
            (None, Some(inner)) if code(inner) => "00]]",
            _ => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
