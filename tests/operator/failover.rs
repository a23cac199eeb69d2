//! Several endpoints behind one role: they share its asks, take over from each other, and pay nothing twice.

use super::server::{Act, Server};
use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that nobody listens on.
fn nobody() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    format!("http://{free}/v1")
}

fn named(url: &str, model: &str) -> EndpointSettings {
    EndpointSettings { model: model.to_owned(), timeout_seconds: 30.0, ..settings(url) }
}

fn answers(server: &Server) -> u32 {
    server.seen().asked.values().map(|(_, answered)| answered).sum()
}

#[test]
fn asks_are_shared_by_weight_and_the_order_of_endpoints_does_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let start = || runtime.block_on(Server::start(Duration::from_millis(1), |_, _| Act::Answer));
    let (one, three) = (start(), start());
    let light = named(&one.url, "one");
    let heavy = EndpointSettings { weight: 3, ..named(&three.url, "three") };
    let run = run_of_all(&[light.clone(), heavy.clone()], &folder.path().join("a.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 2, 200).expect("complete")), 400);
    let shares = (answers(&one), answers(&three));
    assert!(shares.0 + shares.1 == 400 && (60..140).contains(&shares.0), "{shares:?}");
    drop(run);
    // Each of the two alone finds what it answered, and asks for the rest.
    let alone = run_of(&light, &folder.path().join("a.redb"));
    operate(&runtime, &alone, 2, 200).expect("complete");
    assert_eq!(alone.meter.figures(Role::Translate).cached, u64::from(shares.0));
    drop(alone);
    // Both again ask nobody.
    let again = run_of_all(&[light, heavy], &folder.path().join("a.redb"));
    operate(&runtime, &again, 3, 200).expect("complete");
    assert_eq!(again.meter.figures(Role::Translate).calls, 200, "the third worker's rows alone");
}

#[test]
fn a_live_endpoint_takes_over_from_a_dead_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let server = runtime.block_on(Server::start(Duration::from_millis(1), |_, _| Act::Answer));
    let run = run_of_all(&[named(&nobody(), "m"), named(&server.url, "m")], &folder.path().join("j.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 2, 150).expect("complete")), 300);
    assert_eq!((run.meter.figures(Role::Translate).faults, answers(&server)), (0, 300));
    assert_eq!(server.seen().again, Vec::<String>::new());
}

#[test]
fn a_redirect_loop_or_a_wrong_key_closes_its_endpoint_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let own = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&own);
    let circles = move |_: &str, _| {
        Act::Say(307, vec![("location", to.lock().expect("no panic").clone())], String::new())
    };
    let server = runtime.block_on(Server::start(Duration::ZERO, |_, _| Act::Answer));
    let circling = runtime.block_on(Server::start(Duration::ZERO, circles));
    *own.lock().expect("no panic") = format!("{}/chat/completions", circling.url);
    let refusing =
        runtime.block_on(Server::start(Duration::ZERO, |_, _| Act::Say(401, Vec::new(), String::new())));
    for (at, wrong) in [&circling, &refusing].into_iter().enumerate() {
        let all = [named(&wrong.url, "m"), named(&server.url, "m")];
        let run = run_of_all(&all, &folder.path().join(format!("{at}.redb")));
        assert_eq!(answered(&operate(&runtime, &run, 1, 100).expect("complete")), 100);
        // Those that were under way when the first one came back, at most.
        let seen = wrong.seen().keys.len();
        assert!((1..=64).contains(&seen), "{seen}");
    }
}

#[test]
fn an_endpoint_that_was_away_is_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let times = AtomicU32::new(0);
    let away = move |_: &str, _| match times.fetch_add(1, Ordering::SeqCst) {
        0..20 => Act::Say(502, Vec::new(), String::new()),
        _ => Act::Answer,
    };
    let returning = runtime.block_on(Server::start(Duration::ZERO, away));
    let slow = runtime.block_on(Server::start(Duration::from_millis(10), |_, _| Act::Answer));
    let narrow = EndpointSettings { in_flight: 2, priority: 1, ..named(&slow.url, "m") };
    let run = run_of_all(&[named(&returning.url, "m"), narrow], &folder.path().join("j.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 2, 400).expect("complete")), 800);
    assert!(answers(&returning) > 0, "it never came back");
    assert_eq!(answers(&returning) + answers(&slow), 800);
}

#[test]
fn when_all_are_dead_the_run_stops_and_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("j.redb");
    let runtime = runtime();
    let dying = |text: &str, _: u32| {
        if text.ends_with('7') { Act::Say(503, Vec::new(), String::new()) } else { Act::Answer }
    };
    let server = runtime.block_on(Server::start(Duration::ZERO, dying));
    let patient = EndpointSettings { give_up_after_seconds: 60.0, ..named(&server.url, "m") };
    let run = run_of(&patient, &journal);
    // Rows that find it busy are waited for while others are answered, then given up.
    let given_up = operate(&runtime, &run, 1, 100).expect("complete");
    assert_eq!(answered(&given_up), 90);
    drop(run);
    let dead = run_of_all(&[named(&nobody(), "m"), named(&nobody(), "m")], &journal);
    let error = operate(&runtime, &dead, 1, 100).expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("journal"), "{error}");
    let figures = dead.meter.figures(Role::Translate);
    assert_eq!((figures.faults, figures.cached), (0, 90));
    drop(dead);
    let healthy = runtime.block_on(Server::start(Duration::ZERO, |_, _| Act::Answer));
    let run = run_of_all(&[named(&nobody(), "m"), named(&healthy.url, "m")], &journal);
    assert_eq!(answered(&operate(&runtime, &run, 1, 100).expect("complete")), 100);
    assert_eq!(answers(&healthy), 10, "only what was missing");
}
