//! Each thing that servers do wrong, three times in ten and on some rows always: rows are answered or quarantined with
//! the reason that fits, nothing is paid twice, and a reply without end is not read to its end.

use super::server::{Act, Server, page};
use super::*;
use isogloss::model::Reason::{Garbled, GaveUp, ReplyTooLong, TimedOut, WrongModel};
use std::collections::BTreeSet;

/// One row in 13 meets the fault each time; of the others' tries three in ten do.
const POISON: u32 = 13;

fn row_of(text: &str) -> u32 {
    text.rsplit('/').next().and_then(|row| row.parse().ok()).expect("a row")
}

fn now_and_then(text: &str, before: u32) -> bool {
    let row = row_of(text);
    row.is_multiple_of(POISON) || (row.wrapping_mul(2_654_435_761) >> 7).wrapping_add(before * 7) % 10 < 3
}

/// Runs `rows` rows against a server that does `act` now and then; `reasons` are those of rows that always meet it.
fn suffer(name: &str, act: &Act, reasons: &[Reason], seconds: f64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.redb");
    let runtime = runtime();
    let does = act.clone();
    let once = matches!(act, Act::Huge(_));
    let script = move |text: &str, before: u32| {
        // A reply that is too long is refused at the first time.
        let meets = if once { row_of(text).is_multiple_of(POISON) } else { now_and_then(text, before) };
        if meets { does.clone() } else { Act::Answer }
    };
    let server = runtime.block_on(Server::start(Duration::from_millis(1), script));
    let rows = 91;
    let settings =
        EndpointSettings { timeout_seconds: seconds, give_up_after_seconds: 60.0, ..settings(&server.url) };
    let mut kept = 0;
    // An endpoint that is busy for all that is left to ask is away, and that ends a run.
    let turns = if matches!(act, Act::Say(429, ..)) { 1 } else { 2 };
    for turn in 0..turns {
        let run = run_of(&settings, &journal);
        let out = operate(&runtime, &run, 1, rows).expect("a poison row stops no run");
        assert_eq!(out.len(), rows as usize, "{name}");
        let good = answered(&out) as u64;
        let mut told = BTreeSet::new();
        for row in &out {
            match row.outcome {
                None => assert!(
                    !row.place.row.is_multiple_of(POISON),
                    "{name}: row {} has an answer",
                    row.place.row
                ),
                Some(verdict) => {
                    told.insert(verdict.reason.name());
                    assert!(reasons.contains(&verdict.reason), "{name}: {verdict}");
                }
            }
        }
        assert!(!told.is_empty() && good >= 75, "{name}: {good} answered, {told:?}");
        // The next run asks only for those without an answer.
        assert_eq!(run.meter.figures(Role::Translate).cached, kept, "{name}, turn {turn}");
        kept = run.journal.len().expect("reads");
        assert_eq!(kept, good, "{name}");
    }
    let seen = server.seen();
    // With short timeouts a busy machine may see an answer too late, and a server knows late that nobody waits.
    if seconds > 5.0 {
        assert_eq!(seen.again, Vec::<String>::new(), "{name}: paid twice");
        assert!(seen.most <= 64, "{name}: {} in flight", seen.most);
    }
    seen.blocks
}

fn says(status: u16, body: &str) -> Act {
    Act::Say(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

#[test]
fn busy_and_failing_servers() {
    suffer("429", &Act::Say(429, vec![("retry-after", "0.01".to_owned())], String::new()), &[GaveUp], 30.0);
    suffer("500", &says(500, "boom"), &[GaveUp], 30.0);
    suffer("error with 200", &says(200, r#"{"error":{"message":"overloaded"}}"#), &[GaveUp], 30.0);
}

#[test]
fn connections_that_break() {
    suffer("reset", &Act::Reset, &[GaveUp], 30.0);
    suffer("cut", &Act::Cut, &[GaveUp, Garbled], 30.0);
}

#[test]
fn replies_that_are_none() {
    suffer("half JSON", &says(200, r#"{"choices":[{"message":{"content":"hal"#), &[Garbled], 30.0);
    let html = Act::Say(200, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
    suffer("another content type", &html, &[Garbled], 30.0);
    suffer(
        "no UTF-8",
        &Act::Raw(b"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\"}}]}"),
        &[Garbled],
        30.0,
    );
    suffer("no choice", &says(200, r#"{"choices":[]}"#), &[Garbled], 30.0);
}

#[test]
fn replies_of_another_model() {
    let mut other: serde_json::Value = serde_json::from_str(&page("x")).expect("json");
    other["model"] = "another-model".into();
    suffer("another model", &says(200, &other.to_string()), &[WrongModel], 30.0);
}

#[test]
fn servers_that_stall_or_drip() {
    suffer("stall", &Act::Stall(Duration::from_secs(20)), &[TimedOut], 1.0);
    suffer("drip", &Act::Drip, &[TimedOut], 1.0);
}

#[test]
fn a_reply_without_end_is_not_read_to_its_end() {
    let blocks = suffer("huge", &Act::Huge(u32::MAX), &[ReplyTooLong], 30.0);
    // Seven rows, two runs, a mebibyte each, and what stood in the sockets' buffers.
    let bytes = blocks << 16;
    assert!(bytes < 14 * (16 << 20), "{bytes} bytes were sent");
}

#[test]
fn a_first_byte_that_never_comes_is_told_from_a_long_reply() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let server = runtime.block_on(Server::start(Duration::ZERO, |text, _| match row_of(text) {
        3 => Act::Stall(Duration::from_mins(1)),
        _ => Act::Answer,
    }));
    let settings = EndpointSettings {
        timeout_seconds: 600.0,
        first_byte_timeout_seconds: Some(1.5),
        tries: 1,
        ..settings(&server.url)
    };
    let run = run_of(&settings, &folder.path().join("journal.redb"));
    let out = operate(&runtime, &run, 1, 20).expect("complete");
    assert_eq!(out[3].outcome.map(|verdict| verdict.reason), Some(TimedOut));
    assert!(answered(&out) >= 15);
}
