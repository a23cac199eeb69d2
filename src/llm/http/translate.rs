//! Translation as `LibreTranslate` and apertium-apy speak it: `POST /translate`, the key in the body.

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
    let usage = spent(endpoint, text, &page.text);
    Ok(Reply { answer: Answer::Text(page.text), usage })
}

#[derive(Deserialize)]
struct Apertium {
    #[serde(rename = "responseData")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "translatedText")]
    text: String,
}

/// Asks a translation of apertium-apy: a form, langs by their codes of three letters, unknown words left as they are.
///
/// # Errors
/// A [`Refusal`].
pub async fn ask_apertium(
    endpoint: &HttpEndpoint,
    from: Lang,
    to: Lang,
    text: &str,
) -> Result<Reply, Refusal> {
    let pair = format!("{}|{}", three(from), three(to));
    let mut fields = vec![("langpair", pair.as_str()), ("markUnknown", "no"), ("format", "txt"), ("q", text)];
    fields.extend(endpoint.wire.key().map(|key| ("key", key.reveal())));
    let page: Apertium = endpoint.wire.post_form(&endpoint.urls.translate, &fields).await?;
    let text_of = page.data.text;
    let usage = spent(endpoint, text, &text_of);
    Ok(Reply { answer: Answer::Text(text_of), usage })
}

/// Translators count nothing.
fn spent(endpoint: &HttpEndpoint, read: &str, written: &str) -> Usage {
    Usage { input_tokens: endpoint.counter.count(read), output_tokens: endpoint.counter.count(written) }
}

/// The code of three letters, as in `spa`.
fn three(lang: Lang) -> &'static str {
    lang.tag().split('_').next().unwrap_or_default()
}
