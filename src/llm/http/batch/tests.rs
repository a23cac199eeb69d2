use super::ledger::{Key, Ledger, Note, tidy};
use super::lines::{self, Spot};
use crate::llm::journal::{Entry, Journal};
use crate::llm::{Answer, Reply, Role, Usage};
use crate::telemetry::SystemClock;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

fn found(text: &[u8], most: u64) -> (Vec<(u128, Spot)>, u64) {
    let mut all = Vec::new();
    let strange = lines::find(Cursor::new(text), most, |key, spot| all.push((key, spot))).expect("in memory");
    (all, strange)
}

fn line(key: u128, rest: &str) -> String {
    format!("{{\"custom_id\": \"{key:032x}\", {rest}}}")
}

#[test]
fn a_request_is_one_line_named_by_its_key() {
    let mut text = Vec::new();
    lines::write(7, "/v1/chat/completions", br#"{"model":"m","messages":[]}"#, &mut text).expect("JSON");
    lines::write(8, "/v1/\"x", b"{}", &mut text).expect("JSON");
    let lines: Vec<serde_json::Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["custom_id"], format!("{:032x}", 7));
    assert_eq!((&lines[0]["body"]["model"], &lines[1]["url"]), (&"m".into(), &"/v1/\"x".into()));
}

#[test]
fn lines_that_are_cut_off_too_long_or_none_are_told_apart() {
    let long = format!("\"response\": \"{}\"", "x".repeat(300_000));
    let text = format!(
        "{}\nno line\n\n{}\n{{\"custom_id\": \"{:032x}\", \"respo\n{}",
        line(1, "\"a\": 1"),
        line(2, &long),
        3,
        line(4, "\"a\": 1")
    );
    let (all, strange) = found(text.as_bytes(), 1024);
    assert_eq!((all.iter().map(|(key, _)| *key).collect::<Vec<_>>(), strange), (vec![1, 2, 3, 4], 1));
    assert!(all[1].1.bytes > 300_000, "a line that is too long has its whole length: {all:?}");
    let (at, bytes) =
        (usize::try_from(all[3].1.at).expect("short"), usize::try_from(all[3].1.bytes).expect("short"));
    assert_eq!(&text.as_bytes()[at..at + bytes], line(4, "\"a\": 1").as_bytes());
    // A name of another form, or behind the start of its value, is none of ours.
    for other in [
        "{\"custom_id\": \"row-1\"}",
        "{\"custom_id\" \"00000000000000000000000000000001\"",
        "{\"custom_id\": 7}",
    ] {
        assert_eq!(found(other.as_bytes(), 1024), (Vec::new(), 1), "{other}");
    }
}

#[test]
fn what_the_journal_has_is_let_go_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::in_memory(Arc::new(SystemClock)).expect("a journal");
    let ledger = Ledger::of(folder.path());
    assert!(ledger.all().expect("none").is_empty());
    let mut note = Note::new("aa".to_owned(), "http://h m", vec![Key(1), Key(2), Key(3)]);
    ledger.put(&note).expect("noted");
    let to = ledger.begin("aa").expect("a file");
    let paid = "\"response\": {\"status_code\": 200, \"body\": {}}";
    let refused = "\"response\": {\"status_code\": 400, \"body\": {}}";
    let text = [line(1, paid), line(2, refused), line(1, "\"again\": 1"), line(9, paid)].join("\n");
    std::fs::write(&to, &text).expect("written");
    ledger.finish(&mut note, &to).expect("collected");
    let spots = ledger.spots(&note, 1024).expect("read");
    assert_eq!(spots.keys().copied().collect::<Vec<_>>(), [1, 2], "only what was asked for");
    assert_eq!(ledger.line("aa", spots[&1], 1024).expect("read"), format!("{}\n", line(1, paid)).as_bytes());
    assert_eq!(ledger.all().expect("read"), vec![note.clone()]);

    tidy(folder.path(), &journal).expect("nothing to do");
    assert_eq!(ledger.all().expect("read").len(), 1, "1 is paid for, and the journal has it not");
    let reply = Reply { answer: Answer::Text("x".to_owned()), usage: Usage::default() };
    let entry = Entry { reply, role: Role::Score, identity: "m".to_owned(), unix_ms: 0, paid_nano: None };
    journal.put(1, &entry).expect("put");
    tidy(folder.path(), &journal).expect("tidied");
    assert!(ledger.all().expect("read").is_empty());
    assert_eq!(std::fs::read_dir(folder.path().join("batches")).expect("there").count(), 0);

    std::fs::write(folder.path().join("batches/bb.json"), "{").expect("written");
    let error = ledger.all().expect_err("damaged").to_string();
    assert!(error.contains("bb.json") && error.contains("remedy="), "{error}");
}

proptest! {
    #[test]
    fn every_line_is_found_where_it_lies(
        rows in proptest::collection::vec((any::<u128>(), 0_usize..200, 0_u8..3), 0..30),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut text, mut wanted) = (Vec::new(), BTreeMap::new());
        let noise: Vec<u8> = noise.into_iter().filter(|byte| !matches!(byte, b'\n' | b'"')).collect();
        for (key, length, end) in rows {
            let one = line(key, &format!("\"r\": \"{}\"", "y".repeat(length)));
            wanted.entry(key).or_insert_with(|| one.clone());
            text.extend_from_slice(one.as_bytes());
            text.extend_from_slice(match end { 0 => b"\n", 1 => b"\r\n", _ => b"\n\n" });
            text.extend_from_slice(&noise);
            text.push(b'\n');
        }
        let (all, _) = found(&text, 1 << 20);
        let mut first = BTreeMap::new();
        for (key, spot) in all {
            let (at, bytes) = (usize::try_from(spot.at).expect("short"), usize::try_from(spot.bytes).expect("short"));
            let lies = String::from_utf8_lossy(&text[at..at + bytes]).trim_end().to_owned();
            first.entry(key).or_insert(lies);
        }
        prop_assert_eq!(first, wanted);
    }
}
