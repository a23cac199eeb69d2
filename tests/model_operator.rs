//! The model operator against a server on loopback that misbehaves: every row is answered or faulted, nothing is paid
//! twice, and the key goes nowhere.

#[path = "operator/bill.rs"]
mod bill;
#[path = "operator/failover.rs"]
mod failover;
#[path = "operator/faults.rs"]
mod faults;
#[path = "operator/live.rs"]
mod live;
#[path = "support/server.rs"]
mod server;
#[path = "operator/tls.rs"]
mod tls;

use isogloss::config::EndpointSettings;
use isogloss::config::endpoints::Kind;
use isogloss::llm::consult::consult;
use isogloss::llm::desk::{Backend, Meter, Retry};
use isogloss::llm::http::HttpEndpoint;
use isogloss::llm::journal::Journal;
use isogloss::llm::limiter::Limiter;
use isogloss::llm::{Answer, Ask, Desk, Endpoint, Pending, Role, Trouble};
use isogloss::model::{Bundle, Epoch, Exchange, Place, Reason, Ruling, Stage, Verdict, Weight};
use isogloss::stage::clerk::Clerk;
use isogloss::stop::Stop;
use isogloss::telemetry::SystemClock;
use isogloss::{Error, ErrorKind, Result, workers};
use server::{Act, Server};
use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::{Operator, source};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// A variable that every run of cargo has; its value plays the key.
const KEY_ENV: &str = "CARGO_MANIFEST_DIR";

/// What the key is.
const KEY: &str = env!("CARGO_MANIFEST_DIR");

/// All that was logged, at every level, by any test of this file.
static LOG: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(|| {
    let log = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    subscriber.with_writer(move || Logged(Arc::clone(&ours))).init();
    log
});

struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    LazyLock::force(&LOG);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

fn settings(url: &str) -> EndpointSettings {
    EndpointSettings {
        kind: Kind::Http,
        url: url.to_owned(),
        model: "m".to_owned(),
        key_env: KEY_ENV.to_owned(),
        timeout_seconds: 0.4,
        connect_timeout_seconds: 0.4,
        tries: 5,
        give_up_after_seconds: 1.5,
        most_reply_bytes: 1 << 20,
        ..EndpointSettings::default()
    }
}

fn turn(text: &str) -> Ask {
    Ask::Chat {
        role: Role::Translate,
        prompt: "test-1".to_owned(),
        system: String::new(),
        user: text.to_owned(),
        max_tokens: 9,
        temperature_milli: 0,
        schema: None,
        logprobs: false,
    }
}

struct Run {
    desk: Desk,
    meter: Arc<Meter>,
    journal: Arc<Journal>,
    stop: Stop,
}

/// Asks of a run that ended hold its journal until they see that they are over.
fn reopened(journal: &Path) -> Journal {
    let patience = Instant::now();
    loop {
        match Journal::open(journal, Arc::new(SystemClock)) {
            Ok(journal) => return journal,
            Err(error) => assert!(patience.elapsed() < Duration::from_secs(10), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn run_of(settings: &EndpointSettings, journal: &Path) -> Run {
    run_of_all(std::slice::from_ref(settings), journal)
}

/// A run whose role has several endpoints.
fn run_of_all(all: &[EndpointSettings], journal: &Path) -> Run {
    let journal = Arc::new(reopened(journal));
    let (stop, meter) = (Stop::default(), Arc::<Meter>::default());
    let mut backends = Vec::new();
    for (name, settings) in ["gpt", "other", "third"].into_iter().zip(all) {
        let endpoint: Arc<dyn Endpoint> = Arc::new(HttpEndpoint::open(name, settings).expect("opens"));
        let retry = Retry {
            first_wait: Duration::from_millis(5),
            most_wait: Duration::from_millis(40),
            ..settings.retry()
        };
        let backend = Backend::new(name, endpoint, Limiter::new(settings.limits()), retry);
        backends.push(backend.ranked(settings.weight, settings.priority));
    }
    let kept = Some(Arc::clone(&journal));
    let desk = Desk::new(Role::Translate, backends, kept, stop.clone(), Arc::clone(&meter));
    Run { desk, meter, journal, stop }
}

/// Puts the answer into `response_en`.
struct Asker(Desk);

impl Clerk for Asker {
    fn stage(&self) -> Stage {
        Stage::Translate
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            match self.0.ask(&turn(&exchange.response)).await {
                Ok(Answer::Chat { text, .. }) => exchange.response_en = text,
                Ok(_) => return Err(Error::bug("another answer")),
                Err(Trouble::Row(reason)) => {
                    exchange.outcome = Some(Verdict::faulted(Stage::Translate, reason, 0.0));
                }
                Err(Trouble::Run(error)) => return Err(error),
            }
            Ok(())
        })
    }
}

/// Runs rows through the operator on each worker, 50 to a bundle.
fn operate(runtime: &Runtime, run: &Run, workers: usize, rows: u32) -> Result<Vec<Exchange>> {
    let clerk: Arc<dyn Clerk> = Arc::new(Asker(run.desk.clone()));
    let (handle, stop) = (runtime.handle().clone(), run.stop.clone());
    let parts = workers::run(workers, &run.stop, move |worker| {
        let shard = u32::try_from(worker.index()).expect("few");
        let out = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&out);
        let (clerk, handle, stop) = (Arc::clone(&clerk), handle.clone(), stop.clone());
        worker.dataflow::<Epoch, _, _>(|scope| {
            let read = source::<_, NoopBuilder<Bundle>, _, _>(scope, "Rows", |capability, _| {
                let mut capability = Some(capability);
                move |output| {
                    let Some(capability) = capability.take() else { return };
                    for first in (0..rows).step_by(50) {
                        let made = |row| Exchange {
                            place: Place { shard, row, start: 0 },
                            response: format!("{shard}/{row}"),
                            ..Exchange::default()
                        };
                        let rows: Vec<_> = (first..rows.min(first + 50)).map(made).collect();
                        let weight = Weight { rows: 1, bytes: 1 };
                        let mut bundle = Bundle { shard, serial: first, last: false, rows, weight };
                        output.session_with_builder(&capability).give_container(&mut bundle);
                    }
                }
            });
            consult(read, clerk, handle, stop).sink(Pipeline, "Kept", move |(input, _)| {
                input.for_each(|_, bundle| kept.borrow_mut().append(&mut bundle.rows));
            });
        });
        Ok(move || Ok(out.take()))
    })?;
    let mut rows: Vec<Exchange> = parts.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.place);
    Ok(rows)
}

fn answered(rows: &[Exchange]) -> usize {
    let mut count = 0;
    for row in rows {
        match &row.outcome {
            None => {
                assert_eq!(row.response_en, format!("[{}]", row.response));
                count += 1;
            }
            Some(verdict) => assert!(verdict.ruling == Ruling::Faulted && verdict.reason.is_unanswered()),
        }
    }
    count
}

fn json(body: &str) -> Act {
    Act::Say(200, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

/// One of all that servers do wrong, by the row and the try.
fn misbehave(text: &str, before: u32) -> Act {
    let row: u32 = text.rsplit('/').next().and_then(|row| row.parse().ok()).expect("a row");
    match (row % 13, before) {
        (0, _) => Act::Say(400, Vec::new(), format!("bad request by {KEY}")),
        (1, 0) => Act::Say(429, vec![("retry-after", "0.05".to_owned())], String::new()),
        (2, 0..=2) => Act::Say(500, Vec::new(), "boom".to_owned()),
        (3, 0) => Act::Reset,
        (4, 0) => Act::Cut,
        (5, 0) => json("{\"choices\":[{\"message\":{\"content\":\"hal"),
        (6, 0) if row == 6 => Act::Stall(Duration::from_secs(3)),
        (7, _) if row == 7 => Act::Huge(200),
        (8, 0) => Act::Say(200, vec![("content-type", "text/html".to_owned())], "<html>".to_owned()),
        (9, 0) => Act::Say(503, Vec::new(), String::new()),
        (10, _) if row == 10 => Act::Drip,
        (11, 0) => Act::Say(502, Vec::new(), "bad gateway".to_owned()),
        (12, 0) => Act::Say(200, Vec::new(), "\u{fffd}\u{0}".to_owned()),
        _ => Act::Answer,
    }
}

#[test]
fn every_row_is_answered_or_faulted_and_none_is_paid_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.redb");
    let runtime = runtime();
    let server = runtime.block_on(Server::start(Duration::from_millis(2), misbehave));
    let rows = 260;
    for workers in 1..=3_usize {
        let run = run_of(&settings(&server.url), &journal);
        let out = operate(&runtime, &run, workers, rows).expect("complete");
        assert_eq!(out.len(), workers * rows as usize);
        // Rejected each time: 20 of 260; too long: one; without end: one.
        assert_eq!(answered(&out), workers * (260 - 22));
        let figures = run.meter.figures(Role::Translate);
        // Earlier runs asked the shards before; the new shard's rows are all that is paid now.
        assert_eq!(figures.cached, (workers as u64 - 1) * 238);
        assert_eq!(figures.calls, 238 + workers as u64 * 22);
        assert_eq!(figures.faults, workers as u64 * 22);
        assert_eq!(run.journal.len().expect("reads"), workers as u64 * 238);
        let seen = server.seen();
        assert_eq!(seen.again, Vec::<String>::new(), "paid twice");
        assert!(seen.keys.iter().all(|key| *key == format!("Bearer {KEY}")));
    }
    let log = String::from_utf8_lossy(&LOG.lock().expect("no panic")).into_owned();
    assert!(log.contains("given up on a row") && log.contains("bad request"), "nothing was logged");
    assert!(!log.contains(KEY), "the key is in the log");
}

#[test]
fn a_redirect_is_told_and_never_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let other = runtime.block_on(Server::start(Duration::ZERO, |_, _| Act::Answer));
    let place = format!("{}/chat/completions?key={KEY}", other.url);
    let redirects = move |_: &str, _| Act::Say(307, vec![("location", place.clone())], String::new());
    let server = runtime.block_on(Server::start(Duration::ZERO, redirects));
    let run = run_of(&settings(&server.url), &folder.path().join("journal.redb"));
    let error = operate(&runtime, &run, 2, 100).expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("endpoint redirects") && !error.to_string().contains(KEY), "{error}");
    assert_eq!(other.seen().keys, Vec::<String>::new());
}

#[test]
fn a_refused_key_ends_the_run_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let refuses = |_: &str, _| Act::Say(401, Vec::new(), format!("Incorrect API key provided: {KEY}"));
    let server = runtime.block_on(Server::start(Duration::ZERO, refuses));
    let run = run_of(&settings(&server.url), &folder.path().join("journal.redb"));
    let error = operate(&runtime, &run, 1, 100).expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("endpoints.gpt") && !error.to_string().contains(KEY), "{error}");
}

#[test]
fn a_dead_server_ends_the_run_without_a_fault_and_one_that_comes_back_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let run = run_of(&settings(&format!("http://{free}/v1")), &folder.path().join("journal.redb"));
    let start = Instant::now();
    let error = operate(&runtime, &run, 2, 200).expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("endpoint away"), "{error}");
    assert!((1.5..10.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert_eq!(run.meter.figures(Role::Translate).faults, 0);

    let begin = Instant::now();
    let away = move |_: &str, _| {
        if begin.elapsed() < Duration::from_millis(600) {
            Act::Say(503, vec![("retry-after", "0.1".to_owned())], String::new())
        } else {
            Act::Answer
        }
    };
    let server = runtime.block_on(Server::start(Duration::ZERO, away));
    let run = run_of(&settings(&server.url), &folder.path().join("other.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 2, 100).expect("complete")), 200);
}

#[test]
fn a_stopped_run_resumes_and_asks_only_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.redb");
    let runtime = runtime();
    let server = runtime.block_on(Server::start(Duration::from_millis(30), |_, _| Act::Answer));
    let run = run_of(&EndpointSettings { in_flight: 16, ..settings(&server.url) }, &journal);
    let stop = run.stop.clone();
    let watched = Arc::clone(&run.journal);
    let stopper = std::thread::spawn(move || {
        while watched.len().expect("reads") < 60 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.raise(Error::new(ErrorKind::Interrupted, "stopped"));
        Instant::now()
    });
    assert_eq!(operate(&runtime, &run, 2, 300).expect_err("stopped").kind(), ErrorKind::Interrupted);
    let took = stopper.join().expect("raised").elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(run);
    let kept = {
        let run = run_of(&settings(&server.url), &journal);
        let kept = run.journal.len().expect("reads");
        assert_eq!(answered(&operate(&runtime, &run, 2, 300).expect("complete")), 600);
        assert_eq!(run.meter.figures(Role::Translate).cached, kept);
        kept
    };
    assert!((60..600).contains(&kept), "{kept}");
    // Twice only what was in flight when the run stopped.
    let twice = server.seen().again.len();
    assert!(twice <= 32, "{twice}");
    let settled = run_of(&settings(&server.url), &journal);
    assert_eq!(answered(&operate(&runtime, &settled, 3, 300).expect("complete")), 900);
    assert_eq!(settled.meter.figures(Role::Translate).calls, 300);
}

#[test]
fn no_more_in_flight_than_the_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let server = runtime.block_on(Server::start(Duration::from_millis(10), |_, _| Act::Answer));
    let run =
        run_of(&EndpointSettings { in_flight: 7, ..settings(&server.url) }, &folder.path().join("j.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 3, 100).expect("complete")), 300);
    assert_eq!(server.seen().most, 7);
}

#[test]
fn an_unset_key_is_told_before_any_work() {
    let unset =
        EndpointSettings { key_env: "ISOGLOSS_NOT_SET".to_owned(), ..settings("http://127.0.0.1:9/v1") };
    let error = HttpEndpoint::open("gpt", &unset).expect_err("unset");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("ISOGLOSS_NOT_SET"), "{error}");
}
