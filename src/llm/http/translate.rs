//! Translation as `LibreTranslate` speaks it: `POST /translate`, the key in the body.

use super::chat::guess;
use super::endpoint::HttpEndpoint;
use crate::llm::{Answer, Refusal, Reply, Usage};
use crate::model::Lang;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Body<'a> {
    q: &'a str,
    source: &'static str,
    target: &'static str,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "translatedText")]
    text: String,
}

/// Asks a translation.
///
/// # Errors
/// A [`Refusal`].
pub async fn ask(endpoint: &HttpEndpoint, from: Lang, to: Lang, text: &str) -> Result<Reply, Refusal> {
    let body = Body {
        q: text,
        source: from.short(),
        target: to.short(),
        format: "text",
        api_key: endpoint.wire.key().map(crate::llm::key::Key::reveal),
        extra: &endpoint.extra,
    };
    let page: Page = endpoint.wire.post(&endpoint.urls.translate, &body).await?;
    let usage = Usage { input_tokens: guess(text), output_tokens: guess(&page.text) };
    Ok(Reply { answer: Answer::Text(page.text), usage })
}
