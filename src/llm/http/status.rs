//! What a status means for the row and for the run.

use super::retry_after::retry_after;
use crate::error::Error;
use crate::llm::Refusal;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};

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
        408 | 409 | 425 | 500..=599 => Refusal::Transient(format!("status={code}, said={said:?}")),
        400..=499 => Refusal::Rejected(format!("status={code}, said={said:?}")),
        _ => Refusal::Transient(format!("status={code}, said={said:?}")),
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

    fn of(code: u16, said: &str) -> Refusal {
        refusal("gpt", StatusCode::from_u16(code).expect("a status"), &HeaderMap::new(), said)
    }

    #[test]
    fn each_status_is_sorted_by_what_to_do_next() {
        assert!([429, 503].iter().all(|code| matches!(of(*code, ""), Refusal::Busy { after: None })));
        assert!([408, 500, 505, 599, 100].iter().all(|code| matches!(of(*code, ""), Refusal::Transient(_))));
        assert!([502, 504, 522].iter().all(|code| matches!(of(*code, ""), Refusal::Away(_))));
        assert!([400, 413, 422, 418].iter().all(|code| matches!(of(*code, ""), Refusal::Rejected(_))));
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
    fn what_a_server_says_cannot_drive_a_terminal() {
        let said = format!("\x1b[2J\r\nboom{}", "x".repeat(9000));
        let Refusal::Rejected(told) = of(400, &said) else { panic!("rejected") };
        assert!(told.contains("boom") && told.chars().count() < 400 && !told.chars().any(char::is_control));
    }
}
