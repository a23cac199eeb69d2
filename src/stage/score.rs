//! Scores English pairs.
//!
//! **Why**: half of the pairs are to be left out, and no later stage can tell which. Two methods, never mixed in one run,
//! since a threshold knows one unit:
//!
//! * **gain** (small models): how much the instruction helps the model to expect the response, in nats per token of
//!   its first tokens. 0 says nothing; good pairs have 0.3 to 2; it may be negative; no fixed end.
//! * **rating** (chat models): `1.0..=5.0`, the expectation over the log-probabilities of the digits 1 to 5 as the first
//!   token of the reply; where these are not offered, the digit, or the number of a strict JSON schema.
//!
//! Beside either, where an endpoint gives vectors: the cosine of instruction and response, `-1.0..=1.0`, drops pairs
//! that speak of different things.
//!
//! **In** `instruction_en`, `response_en`, `gain`. **Out** `score`. **Drops** [`Reason::LowCosine`]. **Faults** a reply that
//! is no rating: [`Reason::Malformed`]; there is no default score.

pub mod rating;

use super::clerk::Clerk;
use super::ending::{End, ask_vector, settle};
use super::excerpt::excerpt;
use super::instruct::recipe::{gains, line_of};
use super::translate::english;
use crate::error::{Error, Result};
use crate::llm::prompt::Prompts;
use crate::llm::{Desk, Pending};
use crate::model::{Exchange, Reason, Stage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a score comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `gain` where the endpoint completes, else `digits`.
    #[default]
    Auto,
    /// The gain that the recipe found, or asks for where a chat model wrote the instruction.
    Gain,
    /// A rating by one digit and its log-probabilities; the schema where the reply is more than a digit.
    Digits,
    /// A rating by a strict JSON schema.
    Schema,
}

/// How pairs are scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreSettings {
    /// Where the score comes from.
    pub method: Method,
    /// Most characters of the response that a chat model reads, `200..=20000`.
    pub text_chars: usize,
    /// Tokens at the beginning of the response that the gain counts where it is asked for here, `8..=1000`.
    pub gain_tokens: u32,
    /// Least cosine of instruction and response where an endpoint gives vectors, `-1.0..=1.0`; -1 asks for none.
    pub least_cosine: f64,
    /// Most characters of the response that the cosine is of, `100..=4000`.
    pub cosine_chars: usize,
    /// Most tokens of a rating, `1..=16384`. Models that think before they answer need many.
    pub max_tokens: u32,
    /// Sampling temperature in thousandths, `0..=2000`.
    pub temperature_milli: u32,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self {
            method: Method::Auto,
            text_chars: 4000,
            gain_tokens: 100,
            least_cosine: 0.25,
            cosine_chars: 800,
            max_tokens: 64,
            temperature_milli: 0,
        }
    }
}

impl ScoreSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        super::within(key, "text_chars", self.text_chars, 200..=20_000)?;
        super::within(key, "gain_tokens", self.gain_tokens, 8..=1000)?;
        super::within(key, "least_cosine", self.least_cosine, -1.0..=1.0)?;
        super::within(key, "cosine_chars", self.cosine_chars, 100..=4000)?;
        super::within(key, "max_tokens", self.max_tokens, 1..=16_384)?;
        super::within(key, "temperature_milli", self.temperature_milli, 0..=2000)
    }
}

/// The clerk of the stage.
pub struct Score {
    desk: Desk,
    vectors: Option<Desk>,
    prompts: Arc<Prompts>,
    method: Method,
    settings: ScoreSettings,
}

impl Score {
    /// * `vectors`: the desk that the cosine is asked of; without one there is no such gate.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the endpoint does not offer what the method needs.
    pub fn new(
        desk: Desk,
        vectors: Option<Desk>,
        prompts: Arc<Prompts>,
        settings: ScoreSettings,
    ) -> Result<Self> {
        let offers = desk.offers();
        let method = match settings.method {
            Method::Auto if offers.complete => Method::Gain,
            Method::Auto => Method::Digits,
            other => other,
        };
        let able = if method == Method::Gain { offers.complete } else { offers.chat };
        if !able {
            return Err(Error::config(format!(
                "endpoint cannot score: key=score.method, value={method:?}, endpoint={}, \
                 remedy=name an endpoint with log-probabilities of texts or with chat in roles.score",
                desk.identity()
            )));
        }
        let vectors = vectors.filter(|desk| desk.offers().embed && settings.least_cosine > -1.0);
        Ok(Self { desk, vectors, prompts, method, settings })
    }

    /// The method in use; never [`Method::Auto`].
    pub fn method(&self) -> Method {
        self.method
    }

    async fn scored(&self, exchange: &Exchange) -> Result<f64, End> {
        // The cheap gate first: what it drops costs no rating.
        if let Some(desk) = &self.vectors {
            self.near(desk, exchange).await?;
        }
        let score = if self.method == Method::Gain {
            self.gain(exchange).await?
        } else {
            let text = excerpt(&exchange.response_en, self.settings.text_chars, english()?);
            rating::rate(
                &self.desk,
                &self.prompts,
                &self.settings,
                self.method,
                &exchange.instruction_en,
                text,
            )
            .await?
        };
        if score.is_finite() { Ok(score) } else { Err(super::ending::MALFORMED) }
    }

    async fn near(&self, desk: &Desk, exchange: &Exchange) -> Result<(), End> {
        let text = excerpt(&exchange.response_en, self.settings.cosine_chars, english()?);
        let asked = ask_vector(desk, exchange.instruction_en.clone()).await?;
        let answered = ask_vector(desk, text.to_owned()).await?;
        match cosine(&asked, &answered) {
            None => Err(super::ending::MALFORMED),
            Some(cosine) if cosine < self.settings.least_cosine => {
                Err(End::Dropped(Reason::LowCosine, cosine))
            }
            Some(_) => Ok(()),
        }
    }

    async fn gain(&self, exchange: &Exchange) -> Result<f64, End> {
        if let Some(gain) = exchange.gain {
            return Ok(gain);
        }
        // Six characters per token are enough of any English text.
        let line = line_of(&exchange.response_en, self.settings.gain_tokens as usize * 6)?;
        let requests = [exchange.instruction_en.clone()];
        let gains = gains(&self.desk, &self.prompts, &requests, &line, self.settings.gain_tokens).await?;
        gains.first().copied().ok_or(super::ending::MALFORMED)
    }
}

/// The cosine of two quantised vectors; `None` if their dimensions differ or one is zero.
pub fn cosine(a: &[i8], b: &[i8]) -> Option<f64> {
    let dot =
        |a: &[i8], b: &[i8]| -> i64 { a.iter().zip(b).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum() };
    let (dot_of, norms) = (dot(a, b), (dot(a, a), dot(b, b)));
    (a.len() == b.len() && norms.0 > 0 && norms.1 > 0)
        .then(|| dot_of as f64 / ((norms.0 as f64).sqrt() * (norms.1 as f64).sqrt()))
}

impl Clerk for Score {
    fn stage(&self) -> Stage {
        Stage::Score
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let ended = self.scored(exchange).await.map(|score| exchange.score = score);
            settle(self.stage(), exchange, ended)
        })
    }
}

#[cfg(test)]
mod tests;
