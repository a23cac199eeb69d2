//! The lines of a batch: one request each on the way out, one reply each on the way back.

use super::super::status::{refusal, spoken};
use super::super::{HttpEndpoint, chat, embeddings};
use crate::error::Error;
use crate::llm::{Ask, Refusal, Reply};
use crate::model::Reason;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, BufRead};

/// Bytes that a line has around its reply, at most.
const AROUND: u64 = 64 << 10;

/// Writes a request. `body` is JSON as it was written here, without a line break.
pub(super) fn write(key: u128, url: &str, body: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
    let url = serde_json::to_string(url)
        .map_err(|cause| Error::bug("request not written as JSON").because(cause))?;
    let head = format!("{{\"custom_id\":\"{}\",\"method\":\"POST\",\"url\":{url},\"body\":", id_of(key));
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(body);
    into.extend_from_slice(b"}\n");
    Ok(())
}

/// How a request is named: by the key of its answer in the journal.
fn id_of(key: u128) -> String {
    crate::sink::names::hex(key)
}

/// Where a reply lies in a collected file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// Reads a collected file from its start, and gives the key and the place of each line that has one; how many lines had
/// none. A line of more than `most` bytes and its surroundings is held in memory no further than that.
pub(super) fn find(mut file: impl BufRead, most: u64, mut give: impl FnMut(u128, Spot)) -> io::Result<u64> {
    let (mut at, mut strange) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let held =
            io::Read::take(&mut file, most.saturating_add(AROUND)).read_until(b'\n', &mut line)? as u64;
        if held == 0 {
            return Ok(strange);
        }
        let rest = if line.last() == Some(&b'\n') { 0 } else { file.skip_until(b'\n')? as u64 };
        let text = line.trim_ascii();
        match key_of(text).or_else(|| key_in(text)) {
            Some(key) => give(key, Spot { at, bytes: held + rest }),
            None => strange += u64::from(!text.is_empty()),
        }
        at += held + rest;
    }
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
}

fn key_of(line: &[u8]) -> Option<u128> {
    let named: Named<'_> = serde_json::from_slice(line).ok()?;
    key_from(&named.custom_id)
}

/// The key of a line that is cut off or broken: what was written may still be named.
fn key_in(line: &[u8]) -> Option<u128> {
    const NAME: &[u8] = b"\"custom_id\"";
    let start = line.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let rest = line.get(start..line.len().min(start + 64))?;
    let mut parts = rest.split(|byte| *byte == b'"');
    let between = parts.next()?.trim_ascii();
    key_from(std::str::from_utf8(parts.next()?).ok().filter(|_| between == b":")?)
}

fn key_from(id: &str) -> Option<u128> {
    (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok()).flatten()
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    status_code: u16,
    #[serde(default)]
    body: Value,
}

/// Whether a line is a reply that is paid for.
pub(super) fn is_paid(line: &[u8]) -> bool {
    let line: Result<Line, _> = serde_json::from_slice(line);
    line.is_ok_and(|line| line.response.is_some_and(|response| (200..300).contains(&response.status_code)))
}

/// What a line answers.
///
/// # Errors
/// A [`Refusal`], sorted as a reply over HTTP is.
pub(super) fn understood(endpoint: &HttpEndpoint, ask: &Ask, line: &[u8]) -> Result<Reply, Refusal> {
    if line.len() as u64 > endpoint.wire.most_reply_bytes() + AROUND {
        return Err(super::super::wire::too_long(endpoint.wire.most_reply_bytes()));
    }
    let line: Line = serde_json::from_slice(line).map_err(|cause| {
        Refusal::Transient(Reason::Garbled, format!("line of a batch not understood: {cause}"))
    })?;
    match (line.response, line.error.filter(|error| !error.is_null())) {
        (Some(response), _) if (200..300).contains(&response.status_code) => match ask {
            Ask::Embed { text } => embeddings::understood(endpoint, text, response.body),
            _ => chat::understood(endpoint, ask, response.body),
        },
        (Some(response), _) => {
            let said = endpoint.wire.said(response.body.to_string().as_bytes());
            let status = StatusCode::from_u16(response.status_code);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(refusal(endpoint.wire.name(), status, &HeaderMap::new(), &said))
        }
        (None, Some(error)) if error.get("code").is_some_and(|code| code == "batch_expired") => {
            Err(Refusal::Transient(Reason::TimedOut, "the batch expired before this ask".to_owned()))
        }
        (None, Some(error)) => Err(endpoint.wire.told(&error)),
        (None, None) => {
            let said = spoken(ask_name(ask));
            Err(Refusal::Transient(Reason::Garbled, format!("line of a batch without a reply: ask={said}")))
        }
    }
}

fn ask_name(ask: &Ask) -> &str {
    match ask {
        Ask::Chat { prompt, .. } => prompt,
        _ => "",
    }
}
