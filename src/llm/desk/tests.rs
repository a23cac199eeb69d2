use super::*;
use crate::error::ErrorKind;
use crate::llm::limiter::{Limiter, Limits};
use crate::llm::scripted::{Scripted, paid};
use crate::llm::{Refusal, Reply, Usage};
use crate::telemetry::SystemClock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

struct Bench {
    endpoint: Arc<Scripted>,
    journal: Arc<Journal>,
    meter: Arc<Meter>,
    stop: Stop,
    desk: Desk,
}

fn retry() -> Retry {
    Retry {
        tries: 4,
        first_wait: Duration::from_millis(2),
        most_wait: Duration::from_millis(8),
        give_up_after: Duration::from_millis(200),
        most_faults_in_a_row: 5,
    }
}

fn bench(script: impl Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync + 'static) -> Bench {
    bench_with(retry(), script)
}

fn bench_with(
    retry: Retry,
    script: impl Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync + 'static,
) -> Bench {
    let endpoint = Arc::new(Scripted::new(script).after(Duration::from_millis(5)));
    let journal = Arc::new(Journal::in_memory(Arc::new(SystemClock)).expect("made"));
    let (meter, stop) = (Arc::<Meter>::default(), Stop::default());
    let limiter = Limiter::new(Limits { in_flight: 8, ..Limits::default() });
    let asked: Arc<dyn Endpoint> = Arc::<Scripted>::clone(&endpoint);
    let kept = Some(Arc::clone(&journal));
    let backends = vec![Backend::new("one", asked, limiter, retry)];
    let desk = Desk::new(Role::Embed, backends, kept, stop.clone(), Arc::clone(&meter));
    Bench { endpoint, journal, meter, stop, desk }
}

fn ask(text: &str) -> Ask {
    Ask::Embed { text: text.to_owned() }
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a script")]
fn answered(ask: &Ask) -> Result<Reply, Refusal> {
    let Ask::Embed { text } = ask else { panic!("an embedding") };
    Ok(Reply { answer: Answer::Text(text.clone()), usage: Usage { input_tokens: 10, output_tokens: 1 } })
}

/// Refuses the first `times` asks.
fn after(times: u32, refusal: fn() -> Refusal) -> impl Fn(&Ask) -> Result<Reply, Refusal> {
    let asked = AtomicU32::new(0);
    move |ask| if asked.fetch_add(1, Ordering::SeqCst) < times { Err(refusal()) } else { answered(ask) }
}

fn is(answer: &Result<Answer, Trouble>, text: &str) -> bool {
    matches!(answer, Ok(Answer::Text(said)) if said == text)
}

#[tokio::test]
async fn an_answer_is_paid_once_and_kept_before_it_is_given() {
    let bench = bench(answered);
    assert!(is(&bench.desk.ask(&ask("a")).await, "a"));
    assert_eq!(bench.journal.len().expect("reads"), 1);
    assert!(is(&bench.desk.ask(&ask("a")).await, "a"));
    let figures = bench.meter.figures(Role::Embed);
    assert_eq!((figures.calls, figures.cached, figures.input_tokens, figures.output_tokens), (1, 1, 10, 1));
    assert!(figures.busy >= Duration::from_millis(4), "{figures:?}");
    assert_eq!(bench.endpoint.asked("embed"), 1);
}

#[tokio::test]
async fn equal_asks_in_flight_are_asked_once() {
    let bench = bench(answered);
    let mut asks = tokio::task::JoinSet::new();
    for i in 0..60 {
        let desk = bench.desk.clone();
        asks.spawn(async move { desk.ask(&ask(["a", "b", "c"][i % 3])).await.map(|_| ()) });
    }
    while let Some(done) = asks.join_next().await {
        done.expect("no panic").expect("answered");
    }
    assert_eq!(bench.endpoint.asked_at_all(), 3);
    assert_eq!(bench.meter.figures(Role::Embed).cached, 57);
}

#[tokio::test]
async fn an_asker_that_goes_away_does_not_take_the_others_along() {
    let bench = bench(answered);
    let desk = bench.desk.clone();
    let first = tokio::spawn(async move { desk.ask(&ask("a")).await.is_ok() });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let desk = bench.desk.clone();
    let second = tokio::spawn(async move { desk.ask(&ask("a")).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    first.abort();
    assert!(is(&second.await.expect("no panic"), "a"));
}

#[tokio::test]
async fn breaks_are_retried_and_refusals_are_not() {
    let broken = bench(after(3, || Refusal::Transient(Reason::GaveUp, "reset".into())));
    assert!(is(&broken.desk.ask(&ask("a")).await, "a"));
    let figures = broken.meter.figures(Role::Embed);
    assert_eq!((figures.calls, figures.retries, figures.faults), (1, 3, 0));

    let poison = bench(after(4, || Refusal::Transient(Reason::GaveUp, "reset".into())));
    assert!(matches!(poison.desk.ask(&ask("a")).await, Err(Trouble::Row(Reason::GaveUp))));
    assert_eq!((poison.endpoint.asked_at_all(), poison.meter.figures(Role::Embed).faults), (4, 1));
    // A failure is no answer: the next run asks again.
    assert!(poison.journal.is_empty().expect("reads"));
    assert!(is(&poison.desk.ask(&ask("a")).await, "a"));

    let rejected = bench(after(1, || Refusal::Rejected(Reason::Rejected, "400".into())));
    assert!(matches!(rejected.desk.ask(&ask("a")).await, Err(Trouble::Row(Reason::Rejected))));
    assert_eq!(rejected.endpoint.asked_at_all(), 1);
}

#[tokio::test]
async fn a_busy_endpoint_is_waited_for_as_long_as_it_says() {
    let bench = bench(after(1, || Refusal::Busy { after: Some(Duration::from_millis(120)) }));
    let start = Instant::now();
    assert!(is(&bench.desk.ask(&ask("a")).await, "a"));
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(bench.meter.figures(Role::Embed).faults, 0);
}

#[tokio::test]
async fn an_absent_endpoint_is_waited_for_then_ends_the_run_without_a_fault() {
    // Twelve waits take about as long as the others are patient: on a busy machine longer.
    let patient = Retry { give_up_after: Duration::from_mins(1), ..retry() };
    let back = bench_with(patient, after(12, || Refusal::Away("refused".into())));
    assert!(is(&back.desk.ask(&ask("a")).await, "a"));

    let dead = bench(|_| Err(Refusal::Away("connection refused".into())));
    let start = Instant::now();
    let mut asks = tokio::task::JoinSet::new();
    for i in 0..30 {
        let desk = dead.desk.clone();
        asks.spawn(async move { desk.ask(&ask(&i.to_string())).await });
    }
    while let Some(done) = asks.join_next().await {
        let Err(Trouble::Run(error)) = done.expect("no panic") else { panic!("nobody answers") };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains("connection refused") && error.to_string().contains("remedy="),
            "{error}"
        );
    }
    assert!((200..5000).contains(&start.elapsed().as_millis()));
    assert_eq!(dead.meter.figures(Role::Embed).faults, 0);
}

#[tokio::test]
async fn a_poison_row_stops_nothing_but_a_row_of_them_does() {
    let poison = |ask: &Ask| match ask {
        Ask::Embed { text } if text.starts_with("poison") => {
            Err(Refusal::Rejected(Reason::Rejected, "422".into()))
        }
        _ => answered(ask),
    };
    let mixed = bench(poison);
    for i in 0..20 {
        let told = mixed.desk.ask(&ask(&format!("poison {i}"))).await;
        assert!(matches!(told, Err(Trouble::Row(Reason::Rejected))));
        mixed.desk.ask(&ask(&i.to_string())).await.expect("answered");
    }
    let all = bench(poison);
    let mut ended = None;
    for i in 0..5 {
        ended = all.desk.ask(&ask(&format!("poison {i}"))).await.err();
    }
    assert!(matches!(ended, Some(Trouble::Run(error)) if error.kind() == ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_row_that_always_finds_the_endpoint_busy_is_given_up_while_others_are_answered() {
    let bench = bench(|ask| match ask {
        Ask::Embed { text } if text == "poison" => Err(Refusal::Busy { after: None }),
        _ => answered(ask),
    });
    let desk = bench.desk.clone();
    let poison = tokio::spawn(async move { desk.ask(&ask("poison")).await });
    for i in 0..1000 {
        bench.desk.ask(&ask(&i.to_string())).await.expect("answered");
        if poison.is_finished() {
            break;
        }
    }
    assert!(matches!(poison.await.expect("no panic"), Err(Trouble::Row(Reason::GaveUp))));
}

#[tokio::test]
async fn fatal_refusals_and_the_stop_flag_end_the_run() {
    let fatal = bench(|_| Err(Refusal::Fatal(Error::config("wrong key"))));
    assert!(
        matches!(fatal.desk.ask(&ask("a")).await, Err(Trouble::Run(error)) if error.to_string() == "wrong key")
    );
    assert_eq!(fatal.endpoint.asked_at_all(), 1);

    let stopped = bench(answered);
    stopped.stop.raise(Error::bug("enough"));
    let told = stopped.desk.ask(&ask("a")).await;
    assert!(matches!(told, Err(Trouble::Run(error)) if error.kind() == ErrorKind::Interrupted));
    assert_eq!(stopped.endpoint.asked_at_all(), 0);
}

#[tokio::test]
async fn scripts_count_and_bare_desks_only_ask() {
    let endpoint = Arc::new(Scripted::new(|ask| Ok(paid(ask, Answer::Vector(vec![127])))));
    let asked: Arc<dyn Endpoint> = Arc::<Scripted>::clone(&endpoint);
    let desk = Desk::bare(asked);
    for _ in 0..2 {
        assert!(matches!(desk.ask(&ask("a")).await, Ok(Answer::Vector(_))));
    }
    assert_eq!((endpoint.asked("embed"), endpoint.asked("chat"), endpoint.asked_for(Role::Embed)), (2, 0, 0));
}

/// A desk over scripts: name, identity, priority, script.
type Part = (&'static str, &'static str, u32, Box<dyn Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync>);

struct Many {
    endpoints: Vec<Arc<Scripted>>,
    journal: Arc<Journal>,
    meter: Arc<Meter>,
    desk: Desk,
}

fn many(journal: &Arc<Journal>, parts: Vec<Part>) -> Many {
    let (meter, mut endpoints, mut backends) = (Arc::<Meter>::default(), Vec::new(), Vec::new());
    for (name, identity, priority, script) in parts {
        let endpoint = Arc::new(Scripted::new(script).named(identity));
        let asked: Arc<dyn Endpoint> = Arc::<Scripted>::clone(&endpoint);
        let limiter = Limiter::new(Limits { in_flight: 8, ..Limits::default() });
        backends.push(Backend::new(name, asked, limiter, retry()).ranked(1, priority));
        endpoints.push(endpoint);
    }
    let kept = Some(Arc::clone(journal));
    let desk = Desk::new(Role::Embed, backends, kept, Stop::default(), Arc::clone(&meter));
    Many { endpoints, journal: Arc::clone(journal), meter, desk }
}

fn memory() -> Arc<Journal> {
    Arc::new(Journal::in_memory(Arc::new(SystemClock)).expect("made"))
}

fn good() -> Box<dyn Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync> {
    Box::new(answered)
}

fn bad(refusal: fn() -> Refusal) -> Box<dyn Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync> {
    Box::new(move |_| Err(refusal()))
}

#[tokio::test]
async fn an_answer_of_any_endpoint_is_found_before_anybody_is_asked() {
    let journal = memory();
    let other = many(&journal, vec![("b", "model b", 0, good())]);
    for i in 0..40 {
        other.desk.ask(&ask(&i.to_string())).await.expect("answered");
    }
    let both = many(&journal, vec![("a", "model a", 0, good()), ("b", "model b", 0, good())]);
    for i in 0..40 {
        both.desk.ask(&ask(&i.to_string())).await.expect("answered");
    }
    assert!(both.endpoints.iter().all(|endpoint| endpoint.asked_at_all() == 0));
    assert_eq!(both.meter.figures(Role::Embed).cached, 40);
    // New asks are shared, and a rerun finds them under whoever answered.
    for turn in 0..2 {
        for i in 100..200 {
            both.desk.ask(&ask(&i.to_string())).await.expect("answered");
        }
        let asked: Vec<u64> = both.endpoints.iter().map(|endpoint| endpoint.asked_at_all()).collect();
        assert!(asked.iter().sum::<u64>() == 100 && asked.iter().all(|n| *n > 20), "turn {turn}: {asked:?}");
    }
    assert_eq!(both.journal.len().expect("reads"), 140);
}

#[tokio::test]
async fn one_endpoint_takes_over_from_another_whatever_is_wrong_with_it() {
    let wrongs: [fn() -> Refusal; 5] = [
        || Refusal::Away("refused".into()),
        || Refusal::Busy { after: Some(Duration::from_secs(30)) },
        || Refusal::Transient(Reason::Garbled, "half".into()),
        || Refusal::Rejected(Reason::Rejected, "too long".into()),
        || Refusal::Fatal(Error::config("wrong key")),
    ];
    for (at, wrong) in wrongs.into_iter().enumerate() {
        let parts: Vec<Part> = vec![("a", "model a", 0, bad(wrong)), ("b", "model b", 1, good())];
        let many = many(&memory(), parts);
        for i in 0..60 {
            assert!(is(&many.desk.ask(&ask(&i.to_string())).await, &i.to_string()), "case {at}, ask {i}");
        }
        assert_eq!(many.meter.figures(Role::Embed).faults, 0, "case {at}");
        let asked = many.endpoints[0].asked_at_all();
        // Away, busy, broken: paused after a while. Closed: asked once. Only a refusal is of the ask alone.
        let most = [40, 2, 45, 60, 1][at];
        assert!((1..=most).contains(&asked), "case {at}: asked {asked} times");
    }
}

#[tokio::test]
async fn a_paused_endpoint_comes_back() {
    let away = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&away);
    let returning = Box::new(move |ask: &Ask| {
        if seen.load(Ordering::SeqCst) { Err(Refusal::Away("refused".into())) } else { answered(ask) }
    });
    let parts: Vec<Part> = vec![("a", "model a", 0, returning), ("b", "model b", 1, good())];
    let many = many(&memory(), parts);
    for i in 0..50 {
        many.desk.ask(&ask(&i.to_string())).await.expect("answered");
    }
    assert_eq!(many.endpoints[1].asked_at_all(), 50);
    away.store(false, Ordering::SeqCst);
    // The pause may have grown to the longest wait, and one look takes up to a second.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for i in 50..100 {
        many.desk.ask(&ask(&i.to_string())).await.expect("answered");
    }
    assert!(many.endpoints[1].asked_at_all() < 60, "{}", many.endpoints[1].asked_at_all());
}

#[tokio::test]
async fn only_when_all_are_lost_does_the_run_stop() {
    let dead: fn() -> Refusal = || Refusal::Away("refused".into());
    let parts: Vec<Part> = vec![("a", "model a", 0, bad(dead)), ("b", "model b", 0, bad(dead))];
    let all = many(&memory(), parts);
    let Err(Trouble::Run(error)) = all.desk.ask(&ask("x")).await else { panic!("nobody answers") };
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("endpoints="), "{error}");
    assert_eq!(all.meter.figures(Role::Embed).faults, 0);
    let keys: fn() -> Refusal = || Refusal::Fatal(Error::config("wrong key"));
    let closed = many(&memory(), vec![("a", "a", 0, bad(keys)), ("b", "b", 0, bad(keys))]);
    for i in 0..3 {
        let told = closed.desk.ask(&ask(&i.to_string())).await;
        assert!(matches!(told, Err(Trouble::Run(error)) if error.to_string() == "wrong key"));
    }
    assert!(closed.endpoints.iter().all(|endpoint| endpoint.asked_at_all() == 1));
}

#[tokio::test]
async fn lower_priorities_have_a_desk_of_their_own_and_one_journal() {
    let parts: Vec<Part> = vec![("a", "a", 0, good()), ("b", "b", 1, good()), ("c", "c", 2, good())];
    let many = many(&memory(), parts);
    let below = many.desk.below().expect("two are left");
    for _ in 0..2 {
        many.desk.ask(&ask("x")).await.expect("answered");
        below.ask(&ask("x")).await.expect("answered");
    }
    let asked: Vec<u64> = many.endpoints.iter().map(|endpoint| endpoint.asked_at_all()).collect();
    assert_eq!(asked, [1, 1, 0]);
    assert!(below.below().expect("one is left").below().is_none());
}

#[tokio::test]
async fn a_budget_is_overspent_by_no_more_than_what_was_in_flight_and_that_is_kept() {
    use crate::llm::budget::{Budget, Most};
    // The endpoint counts a thousand tokens where a handful was expected.
    let script = |ask: &Ask| {
        answered(ask).map(|reply| Reply { usage: Usage { input_tokens: 999, output_tokens: 1 }, ..reply })
    };
    let endpoint = Arc::new(Scripted::new(script).after(Duration::from_millis(5)));
    let journal = Arc::new(Journal::in_memory(Arc::new(SystemClock)).expect("made"));
    let most = Most { tokens: Some(5000), ..Most::default() };
    let meter = Arc::new(Meter::within(Budget::new(most, Arc::new(SystemClock))));
    let limiter = Limiter::new(Limits { in_flight: 8, ..Limits::default() });
    let asked: Arc<dyn Endpoint> = Arc::<Scripted>::clone(&endpoint);
    let backends = vec![Backend::new("one", asked, limiter, retry())];
    let desk = Desk::new(Role::Embed, backends, Some(Arc::clone(&journal)), Stop::default(), meter);
    let mut asks = tokio::task::JoinSet::new();
    for i in 0..60 {
        let desk = desk.clone();
        asks.spawn(async move { desk.ask(&ask(&format!("row {i}"))).await });
    }
    let mut answers = 0;
    while let Some(done) = asks.join_next().await {
        match done.expect("no panic") {
            Ok(_) => answers += 1,
            Err(Trouble::Run(error)) => assert_eq!(error.kind(), ErrorKind::Budget, "{error}"),
            Err(Trouble::Row(reason)) => panic!("a row is blamed: {}", reason.name()),
        }
    }
    let sent = endpoint.asked_at_all();
    assert!((5..=13).contains(&sent), "{sent} were sent");
    assert_eq!((answers, journal.len().expect("reads")), (sent, sent));
    // Cached answers cost nothing, spent as it is.
    let kept = journal.len().expect("reads");
    assert!(kept > 0 && desk.ask(&ask("another")).await.is_err());
}
