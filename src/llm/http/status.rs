//! What a status means for the row and for the run.

use super::retry_after::retry_after;
use crate::error::Error;
use crate::llm::Refusal;
use crate::model::Reason;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;

/// Most characters of what a server says that go into a message.
const MOST_SAID: usize = 300;

/// Sorts a reply that is no success. `name` is the endpoint's in the settings; `said` is the body, keys removed.
pub fn refusal(name: &str, status: StatusCode, headers: &HeaderMap, said: &str) -> Refusal {
    let code = status.as_u16();
    let said = spoken(said);
    let fatal = |what: &str, remedy: &str| {
        Refusal::Fatal(Error::config(format!(
            "{what}: key=endpoints.{name}, status={code}, said={said:?}, remedy={remedy}"
        )))
    };
    match code {
        // No money is no matter of waiting.
        402 => broke(name, code, &said),
        429 if said.contains("insufficient_quota") => broke(name, code, &said),
        429 | 503 | 529 => Refusal::Busy { after: retry_after(headers) },
        401 | 403 => fatal("endpoint refuses the key", "see key_env and the rights of its key"),
        404 | 405 | 410 | 501 => fatal("endpoint knows no such model or address", "see url and model"),
        300..=399 => {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).map_or("?", without_query);
            fatal(&format!("endpoint redirects to {}", spoken(to)), "set url to where it really is")
        }
        // A gateway whose server is away; 520 to 524 are those of a well-known one.
        502 | 504 | 520..=524 => Refusal::Away(format!("status={code}, said={said:?}")),
        408 => Refusal::Transient(Reason::TimedOut, format!("status={code}, said={said:?}")),
        409 | 425 | 500..=599 => Refusal::Transient(Reason::GaveUp, format!("status={code}, said={said:?}")),
        400..=499 => Refusal::Rejected(Reason::Rejected, format!("status={code}, said={said:?}")),
        _ => Refusal::Transient(Reason::GaveUp, format!("status={code}, said={said:?}")),
    }
}

/// Sorts an error that came with status 200, as some servers and gateways send it: by the code in it, if there is one.
pub fn told(name: &str, error: &Value, said: &str) -> Refusal {
    let number = |field: &str| {
        let value = error.get(field)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let code = ["code", "status", "status_code"].into_iter().find_map(number);
    let code = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let kind = error.get("type").and_then(Value::as_str).unwrap_or_default();
    match code.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => refusal(name, status, &HeaderMap::new(), said),
        None if kind.contains("rate_limit") || kind.contains("overloaded") => Refusal::Busy { after: None },
        None => Refusal::Transient(Reason::GaveUp, format!("error with status 200: said={:?}", spoken(said))),
    }
}

fn broke(name: &str, code: u16, said: &str) -> Refusal {
    Refusal::Fatal(Error::unavailable(format!(
        "endpoint wants money: key=endpoints.{name}, status={code}, said={said:?}, remedy=pay, and run again"
    )))
}

/// The start of what a server says, fit for a terminal: no control characters, no end.
pub(super) fn spoken(said: &str) -> String {
    said.trim().chars().take(MOST_SAID).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde_json::json;

    fn of(code: u16, said: &str) -> Refusal {
        refusal("gpt", StatusCode::from_u16(code).expect("a status"), &HeaderMap::new(), said)
    }

    #[test]
    fn each_status_is_sorted_by_what_to_do_next() {
        assert!([429, 503].iter().all(|code| matches!(of(*code, ""), Refusal::Busy { after: None })));
        assert!([408, 500, 505, 599, 100].iter().all(|code| matches!(of(*code, ""), Refusal::Transient(..))));
        assert!([502, 504, 522].iter().all(|code| matches!(of(*code, ""), Refusal::Away(_))));
        assert!([400, 413, 422, 418].iter().all(|code| matches!(of(*code, ""), Refusal::Rejected(..))));
        for code in [301, 307, 401, 403, 404] {
            assert!(
                matches!(of(code, ""), Refusal::Fatal(error) if error.kind() == ErrorKind::Config),
                "{code}"
            );
        }
        for refused in [of(402, ""), of(429, "{\"code\":\"insufficient_quota\"}")] {
            assert!(matches!(refused, Refusal::Fatal(error) if error.kind() == ErrorKind::Unavailable));
        }
    }

    #[test]
    fn an_error_with_status_200_is_sorted_by_its_code() {
        let of = |error: Value| told("gpt", &error, &error.to_string());
        assert!(matches!(of(json!({"code": 429})), Refusal::Busy { .. }));
        assert!(matches!(of(json!({"code": "503"})), Refusal::Busy { .. }));
        assert!(matches!(of(json!({"type": "rate_limit_error"})), Refusal::Busy { .. }));
        assert!(matches!(of(json!({"status": 400})), Refusal::Rejected(..)));
        assert!(matches!(of(json!({"code": 401})), Refusal::Fatal(_)));
        assert!(matches!(of(json!("overloaded")), Refusal::Transient(..)));
        assert!(matches!(of(json!({"code": "model_error"})), Refusal::Transient(..)));
    }

    #[test]
    fn what_a_server_says_cannot_drive_a_terminal() {
        let said = format!("\x1b[2J\r\nboom{}", "x".repeat(9000));
        let Refusal::Rejected(Reason::Rejected, told) = of(400, &said) else { panic!("rejected") };
        assert!(told.contains("boom") && told.chars().count() < 400 && !told.chars().any(char::is_control));
    }
}
