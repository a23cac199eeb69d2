//! A rating from 1 to 5 by a chat model.

use super::{Method, ScoreSettings};
use crate::llm::prompt::Prompts;
use crate::llm::{Answer, Ask, Desk, Finish, Role, Token};
use crate::model::Reason;
use crate::stage::ending::{End, MALFORMED, object_of};
use crate::stage::gates::{no_refusal, said as said_something};
use minijinja::context;
use serde::Deserialize;

/// The prompt.
const PROMPT: &str = "score-1";

/// The reply's schema.
const SCHEMA: &str = r#"{"type":"object","properties":{"score":{"type":"integer","enum":[1,2,3,4,5]}},"required":["score"],"additionalProperties":false}"#;

/// Digits must hold at least this share of the first token's probability, else the reply is no rating.
const LEAST_MASS: f64 = 0.5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    score: u8,
}

/// Asks for the rating of a pair.
pub(super) async fn rate(
    desk: &Desk,
    prompts: &Prompts,
    settings: &ScoreSettings,
    method: Method,
    instruction: &str,
    response: &str,
) -> Result<f64, End> {
    let digits = method == Method::Digits;
    let form = if digits { "digit" } else { "schema" };
    let ask = Ask::Chat {
        role: Role::Score,
        prompt: PROMPT.to_owned(),
        system: prompts.render(PROMPT, "system", context! {})?,
        user: prompts.render(PROMPT, "user", context! { form, instruction, response })?,
        max_tokens: settings.max_tokens,
        temperature_milli: settings.temperature_milli,
        schema: (!digits).then(|| SCHEMA.to_owned()),
        logprobs: digits,
    };
    let Answer::Chat { text, finish, first } = desk.ask(&ask).await? else {
        return Err(MALFORMED);
    };
    if finish == Finish::Filtered {
        return Err(End::Faulted(Reason::Refused, 0.0));
    }
    if digits {
        // The first token stands whether or not the model went on talking.
        if let Some(rating) = expectation(&first).or_else(|| lone_digit(&text)) {
            return Ok(rating);
        }
        no_refusal(&text)?;
        return Box::pin(rate(desk, prompts, settings, Method::Schema, instruction, response)).await;
    }
    no_refusal(&text)?;
    // An empty object is a reply, and no rating.
    if !text.contains('{') {
        said_something(&text)?;
    }
    let said: Said = object_of(&text).ok_or(match finish {
        Finish::Length => End::Faulted(Reason::Truncated, text.chars().count() as f64),
        _ => MALFORMED,
    })?;
    if (1..=5).contains(&said.score) { Ok(f64::from(said.score)) } else { Err(MALFORMED) }
}

/// The expected digit, over the digits 1 to 5 among the candidates of the first token, renormalised. `None` if they hold
/// less than half of the probability.
pub fn expectation(first: &[Token]) -> Option<f64> {
    let (mut mass, mut sum) = (0.0, 0.0);
    for token in first {
        if let Some(digit) = lone_digit(&token.text).filter(|_| token.logprob <= 1e-6) {
            mass += token.logprob.exp();
            sum += digit * token.logprob.exp();
        }
    }
    (mass >= LEAST_MASS).then(|| sum / mass)
}

/// The value of a text that is one digit from 1 to 5, with white space around it or without.
fn lone_digit(text: &str) -> Option<f64> {
    // `▁` and `Ġ` are how tokenizers write a space.
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '▁' || c == 'Ġ');
    match text {
        "1" => Some(1.0),
        "2" => Some(2.0),
        "3" => Some(3.0),
        "4" => Some(4.0),
        "5" => Some(5.0),
        _ => None,
    }
}
