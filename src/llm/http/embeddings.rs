//! Embeddings, as floats or base64, made unit vectors of int8.

use super::base64;
use super::chat::{Count, counted, of_no_use, page_of};
use super::endpoint::HttpEndpoint;
use crate::llm::{Answer, Refusal, Reply, Usage};
use crate::model::Reason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Datum>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Count>,
}

#[derive(Deserialize)]
struct Datum {
    embedding: Vector,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f64>),
    /// One vector per text, or, of a server without pooling, one per token.
    Nested(Vec<Vec<f64>>),
    Base64(String),
}

/// Asks the vector of a text.
///
/// # Errors
/// A [`Refusal`].
pub async fn ask(endpoint: &HttpEndpoint, text: &str) -> Result<Reply, Refusal> {
    said(endpoint, text, endpoint.wire.post(&endpoint.urls.embeddings, &body(endpoint, text)).await?)
}

fn body<'a>(endpoint: &'a HttpEndpoint, text: &'a str) -> Body<'a> {
    Body { model: &endpoint.model, input: text, extra: &endpoint.extra }
}

/// The body of a request, as JSON.
///
/// # Errors
/// [`Refusal::Fatal`] if it cannot be written.
pub(super) fn written(endpoint: &HttpEndpoint, text: &str) -> Result<Vec<u8>, Refusal> {
    super::chat::encoded(&body(endpoint, text))
}

/// What a reply that came another way says.
///
/// # Errors
/// As [`ask`].
pub(super) fn understood(endpoint: &HttpEndpoint, text: &str, reply: Value) -> Result<Reply, Refusal> {
    said(endpoint, text, page_of(reply)?)
}

fn said(endpoint: &HttpEndpoint, text: &str, page: Page) -> Result<Reply, Refusal> {
    let billed = page.usage.map(|count| count.or(Usage::default));
    let guessed = || Usage { input_tokens: endpoint.counter.count(text), output_tokens: 0 };
    let usage = counted(page.usage, guessed);
    let vector = vector_of(endpoint, &page).map_err(|refusal| of_no_use(refusal, billed))?;
    Ok(Reply { answer: Answer::Vector(vector), usage })
}

/// The vector of a reply.
fn vector_of(endpoint: &HttpEndpoint, page: &Page) -> Result<Vec<i8>, Refusal> {
    let broken = |what: &str| Refusal::Transient(Reason::Garbled, format!("embedding {what}"));
    endpoint.same_model(page.model.as_deref())?;
    let [datum] = page.data.as_slice() else { return Err(broken("missing")) };
    let vector = match &datum.embedding {
        Vector::Floats(floats) => quantised(floats),
        Vector::Nested(vectors) => match vectors.as_slice() {
            [floats] => quantised(floats),
            _ => return Err(broken("is one per token: the server must pool them")),
        },
        Vector::Base64(text) => quantised(&floats_of(text).ok_or_else(|| broken("is no base64 of floats"))?),
    };
    vector.ok_or_else(|| broken("has no direction"))
}

fn floats_of(text: &str) -> Option<Vec<f64>> {
    let bytes = base64::decode(text)?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|float| f64::from(f32::from_le_bytes(*float))).collect())
}

/// The unit vector in its direction, each component × 127 and rounded; `None` if it has none.
pub fn quantised(floats: &[f64]) -> Option<Vec<i8>> {
    let norm = floats.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !norm.is_normal() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 127, and an `as` cast saturates")]
    Some(floats.iter().map(|x| (x / norm * 127.0).round() as i8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_become_units_and_nonsense_none() {
        assert_eq!(quantised(&[3.0, -4.0]), Some(vec![76, -102]));
        assert_eq!(quantised(&[0.0, 1e-9]), Some(vec![0, 127]));
        assert_eq!(quantised(&[0.0, 0.0]), None);
        assert_eq!(quantised(&[f64::NAN, 1.0]), None);
        assert_eq!(quantised(&[1e300, 1e300]), None);
        assert_eq!(quantised(&[]), None);
    }

    #[test]
    fn base64_is_little_endian_floats() {
        // 1.0 and -2.0, by hand: 00 00 80 3f, 00 00 00 c0.
        assert_eq!(floats_of("AACAPwAAAMA="), Some(vec![1.0, -2.0]));
        assert_eq!(floats_of("AACAPwA="), None);
    }
}
