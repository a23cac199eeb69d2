//! How a clerk ends with a row before its field is filled in.
//!
//! **Why**: a clerk asks, checks and asks again; `?` carries the first thing that ends the row, and one place turns it
//! into the row's outcome, so that no row is left with neither field nor outcome.

use super::gates::Finding;
use crate::error::{Error, Result};
use crate::llm::{Answer, Ask, Desk, Finish, Token, Trouble};
use crate::model::{Exchange, Reason, Stage, Verdict};
use serde::de::DeserializeOwned;

/// What ended the row, or the run.
#[derive(Debug)]
pub(crate) enum End {
    /// Judged and left out.
    Dropped(Reason, f64),
    /// Not to be judged: a bad reply, or none.
    Faulted(Reason, f64),
    /// The run must stop.
    Run(Error),
}

impl From<Finding> for End {
    fn from((reason, value): Finding) -> Self {
        Self::Faulted(reason, value)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Row(reason) => Self::Faulted(reason, 0.0),
            Trouble::Run(error) => Self::Run(error),
        }
    }
}

/// Writes the row's outcome, if it came to an end.
pub(crate) fn settle(stage: Stage, exchange: &mut Exchange, ended: Result<(), End>) -> Result<()> {
    match ended {
        Ok(()) => {}
        Err(End::Dropped(reason, value)) => exchange.outcome = Some(Verdict::dropped(stage, reason, value)),
        Err(End::Faulted(reason, value)) => exchange.outcome = Some(Verdict::faulted(stage, reason, value)),
        Err(End::Run(error)) => return Err(error),
    }
    Ok(())
}

/// An answer of another kind than the ask's: the endpoint broke its contract on this row.
pub(crate) const MALFORMED: End = End::Faulted(Reason::Malformed, 0.0);

/// Asks for a translation.
pub(crate) async fn ask_text(desk: &Desk, ask: Ask) -> Result<String, End> {
    match desk.ask(&ask).await? {
        Answer::Text(text) => Ok(text),
        _ => Err(MALFORMED),
    }
}

/// Asks for a chat turn, which must have ended by itself.
pub(crate) async fn ask_chat(desk: &Desk, ask: Ask) -> Result<(String, Vec<Token>), End> {
    match desk.ask(&ask).await? {
        Answer::Chat { text, finish: Finish::Stop, first } => Ok((text, first)),
        Answer::Chat { finish: Finish::Length, text, .. } => {
            Err(End::Faulted(Reason::Truncated, text.chars().count() as f64))
        }
        Answer::Chat { finish: Finish::Filtered, .. } => Err(End::Faulted(Reason::Refused, 0.0)),
        _ => Err(MALFORMED),
    }
}

/// Asks for mean log-probabilities, one per context, each a finite number.
pub(crate) async fn ask_logprobs(desk: &Desk, ask: Ask) -> Result<Vec<f64>, End> {
    let Ask::LogProb { contexts, .. } = &ask else {
        return Err(Error::bug("log-probabilities asked by another ask").into());
    };
    match desk.ask(&ask).await? {
        Answer::LogProbs(values)
            if values.len() == contexts.len() && values.iter().all(|v| v.is_finite()) =>
        {
            Ok(values)
        }
        _ => Err(MALFORMED),
    }
}

/// Asks for the vector of a text.
pub(crate) async fn ask_vector(desk: &Desk, text: String) -> Result<Vec<i8>, End> {
    match desk.ask(&Ask::Embed { text }).await? {
        Answer::Vector(vector) if vector.iter().any(|component| *component != 0) => Ok(vector),
        _ => Err(MALFORMED),
    }
}

/// The JSON object of a reply, with or without a code fence around it; `None` for anything else, an array that would
/// fill the fields in their order included.
pub(crate) fn object_of<T: DeserializeOwned>(reply: &str) -> Option<T> {
    let reply = reply.trim();
    let inside = reply.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let json = inside.map_or(reply, |inside| inside.strip_prefix("json").unwrap_or(inside));
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json.trim()).ok()?;
    serde_json::from_value(object.into()).ok()
}
