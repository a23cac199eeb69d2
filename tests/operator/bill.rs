//! Replies that are of no use but billed: they stand on the bill, as the server counts them.

use super::*;

/// Usage of a reply of no use.
const SPOILT: &str = "\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":30}";

#[test]
fn replies_of_no_use_are_on_the_bill() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let spoils = |text: &str, before: u32| {
        let row: u32 = text.rsplit('/').next().and_then(|row| row.parse().ok()).expect("a row");
        match (row % 4, before) {
            (0, 0) => json(&format!("{{\"choices\":[],{SPOILT}}}")),
            (1, 0) => json(&format!("{{\"model\":\"another\",\"choices\":[],{SPOILT}}}")),
            (2, 0) => json(&format!("{{\"choices\":7,{SPOILT}}}")),
            _ => Act::Answer,
        }
    };
    let server = runtime.block_on(Server::start(Duration::ZERO, spoils));
    let run = run_of(&settings(&server.url), &folder.path().join("journal.redb"));
    let out = operate(&runtime, &run, 1, 80).expect("complete");
    assert_eq!(answered(&out), 80);
    let figures = run.meter.figures(Role::Translate);
    assert_eq!((figures.calls, figures.retries), (80, 60));
    assert_eq!(figures.input_tokens, 80 * 7 + 60 * 70);
    assert_eq!(figures.output_tokens, 80 * 3 + 60 * 30);
    let bill: Vec<_> = run.meter.bill().into_values().collect();
    assert_eq!((bill[0].requests, bill[0].replies, bill.len()), (140, 140, 1));
}
