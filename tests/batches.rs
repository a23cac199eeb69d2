//! The batch API of providers: the same rows as asked one by one, and no answer paid twice, whatever becomes of a batch, of
//! its lines, or of the process that waits for it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for a process by the clock and tells it what to do"
)]

#[path = "support/batches.rs"]
mod batches;
#[expect(dead_code, reason = "of the harness, that which stops at points is of no use here")]
#[path = "support/harness.rs"]
mod harness;
#[path = "support/patience.rs"]
mod patience;

use batches::{Mood, Provider};
use harness::{Harness, corpora, published};
use isogloss::curate::Outcome;
use isogloss::sink::manifest::Manifest;
use isogloss::stop::Stop;
use isogloss::{Error, ErrorKind};
use patience::patient;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

#[test]
#[ignore = "the process that the other tests start and kill"]
fn process() {
    harness::obey();
}

/// Shards whose answers do not depend on the secret of a state.
fn shards() -> Vec<PathBuf> {
    let all = corpora().into_iter();
    all.filter(|path| {
        ["por_Latn/000_00000", "rus_Cyrl", "ell_Grek"]
            .iter()
            .any(|part| path.to_string_lossy().contains(part))
    })
    .collect()
}

struct World {
    harness: Harness,
    runtime: Runtime,
    /// Asked one by one.
    plain: Manifest,
    /// Answers that this took.
    asked: u32,
}

impl World {
    fn new() -> Self {
        let harness = Harness::new(Duration::ZERO);
        for (at, shard) in shards().iter().enumerate() {
            harness.put(&format!("{at}.parquet"), Some(shard));
        }
        let plain = harness.run("plain", 2, &[]).expect("a run").manifest;
        assert!(plain.parts.len() == 3, "{} parts", plain.parts.len());
        let asked = harness.server.bill().all();
        harness.server.bill().answered.clear();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { harness, runtime, plain, asked }
    }

    fn provider(&self, moods: &[Mood]) -> Provider {
        self.runtime.block_on(Provider::start(&self.harness.server.url, moods))
    }

    /// The rows are those of single asks, nothing was paid twice, and nothing is left of the batches.
    fn holds(&self, output: &str, told: &str) {
        harness::same(&published(&self.harness.at(output)), &self.plain, told);
        let bill = self.harness.server.bill();
        assert_eq!((bill.all(), bill.again()), (self.asked, 0), "answers paid, and paid twice: {told}");
        let left = std::fs::read_dir(self.harness.at(output).join("state/batches")).expect("the folder");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(left.is_empty(), "{told}: {left:?}");
    }
}

fn again(world: &World, sets: &[String]) -> isogloss::Result<Outcome> {
    patient(|| world.harness.run("out", 2, &texts(sets)))
}

fn texts(sets: &[String]) -> Vec<&str> {
    sets.iter().map(String::as_str).collect()
}

#[test]
fn batches_give_the_rows_of_single_asks() {
    let world = World::new();
    let provider = world.provider(&[]);
    let sets = provider.sets();
    let outcome = world.harness.run("out", 2, &texts(&sets)).expect("a run");
    world.holds("out", "batches");
    assert!(provider.batches() >= 4, "{}", provider.batches());
    // Each line was billed as a reply.
    let replies: u64 =
        outcome.costs.bill.iter().filter(|line| line.endpoint == "b").map(|line| line.billed.replies).sum();
    assert_eq!(replies, provider.seen().lines as u64);
    // Another prompt for the last stage asks that stage alone; the journal answers the rest.
    let lines = provider.seen().lines;
    let more: Vec<&str> = texts(&sets).into_iter().chain(["select.threshold.target_rate=0.9"]).collect();
    world.harness.run("out", 1, &more).expect("a run");
    let localized = provider.seen().lines - lines;
    assert!(localized > 0 && localized < lines / 4, "{localized} of {lines}");
}

#[test]
fn vectors_come_in_batches_too() {
    let world = World::new();
    let provider = world.provider(&[]);
    let chat = provider.sets();
    let outcome = world.harness.run("out", 2, &texts(&provider.sets_of_vectors())).expect("a run");
    world.holds("out", "batches of chat and of vectors");
    let replies = |name: &str| -> u64 {
        let bill = outcome.costs.bill.iter();
        bill.filter(|line| line.endpoint == name).map(|line| line.billed.replies).sum()
    };
    assert_eq!((replies("b") + replies("v"), replies("m")), (provider.seen().lines as u64, 0));
    assert!(replies("v") > 0);
    // A vector is the same, however it was asked for.
    world.harness.run("out", 1, &texts(&chat)).expect("a run");
    world.holds("out", "asked one by one, and answered from the journal");
}

#[test]
fn files_may_take_longer_than_a_request() {
    let world = World::new();
    let provider = world.provider(&[]);
    provider.seen().slowly = Some((5, Duration::from_millis(400)));
    let mut sets = provider.sets();
    // A piece has this time, a file has more; one that had not would be read again and again, and given up in the end.
    sets.extend(
        ["endpoints.b.timeout_seconds=1.5", "endpoints.b.give_up_after_seconds=20"].map(str::to_owned),
    );
    world.harness.run("out", 2, &texts(&sets)).expect("a run");
    world.holds("out", "files that come slowly");
}

#[test]
fn a_run_killed_while_it_reads_a_file_reads_it_again() {
    let world = World::new();
    let provider = world.provider(&[]);
    provider.seen().slowly = Some((20, Duration::from_millis(100)));
    let sets = provider.sets();
    let mut process = world.harness.process(&world.harness.at("out"), 2, &texts(&sets));
    let mut child = process.stdout(Stdio::null()).spawn().expect("a process");
    until(|| provider.seen().read > 0);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("a process").is_none(), "it reads");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let paid = world.harness.server.bill().all();
    assert!(paid > 0, "the batch is answered and paid");
    provider.seen().slowly = None;
    world.harness.run("out", 2, &texts(&sets)).expect("a run");
    world.holds("out", "killed while a file came");
}

#[test]
fn a_stop_leaves_the_batch_with_the_provider_at_once() {
    let world = World::new();
    let provider = world.provider(&[]);
    provider.seen().held = true;
    let (sets, stop) = (provider.sets(), Stop::default());
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| world.harness.run_until("out", 2, &texts(&sets), &stop));
        until(|| provider.batches() > 0);
        stop.raise(Error::new(ErrorKind::Interrupted, "enough"));
        // The batch would be held for ever.
        run.join().expect("no panic").expect_err("stopped")
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    let lines = provider.seen().lines;
    world.runtime.block_on(provider.release());
    again(&world, &sets).expect("a run");
    world.holds("out", "stopped while a batch was out");
    assert!(provider.seen().lines >= lines);
}

#[test]
fn a_run_stopped_while_it_reads_a_file_leaves_it_to_the_next_one() {
    let world = World::new();
    let provider = world.provider(&[]);
    provider.seen().slowly = Some((20, Duration::from_millis(30)));
    let (sets, stop) = (provider.sets(), Stop::default());
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| world.harness.run_until("out", 2, &texts(&sets), &stop));
        until(|| provider.seen().read > 0);
        std::thread::sleep(Duration::from_millis(100));
        stop.raise(Error::new(ErrorKind::Interrupted, "enough"));
        run.join().expect("no panic").expect_err("stopped")
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    // Its process and its threads live on, and the file would be through by now.
    std::thread::sleep(Duration::from_secs(1));
    let left = std::fs::read_dir(world.harness.at("out/state/batches")).expect("the folder");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
    assert!(left.iter().all(|path| path.extension().is_some_and(|ending| ending == "json")), "{left:?}");
    again(&world, &sets).expect("a run");
    world.holds("out", "stopped while a file came");
}

#[test]
fn a_budget_that_ends_within_a_batch_is_kept_and_nothing_is_lost() {
    let world = World::new();
    let provider = world.provider(&[]);
    let sets = provider.sets();
    let most = world.asked / 2;
    let bounded: Vec<String> = sets.iter().cloned().chain([format!("budget.calls={most}")]).collect();
    let error = world.harness.run("out", 2, &texts(&bounded)).expect_err("spent");
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    assert!(world.harness.server.bill().all() <= most);
    again(&world, &sets).expect("a run");
    world.holds("out", "after a budget that ended");
}

#[test]
fn expired_batches_and_lines_that_are_none_are_asked_again() {
    let world = World::new();
    let moods = [Mood::Expires, Mood::Garbles, Mood::Lost, Mood::Garbles, Mood::Expires, Mood::Expires];
    let provider = world.provider(&moods);
    let mut sets = provider.sets();
    sets.push("endpoints.b.tries=12".to_owned());
    world.harness.run("out", 2, &texts(&sets)).expect("a run");
    world.holds("out", "every way a batch can go wrong");
    assert!(provider.batches() > moods.len(), "{}", provider.batches());
}

#[test]
fn a_batch_that_is_refused_ends_the_run_and_names_the_endpoint() {
    let world = World::new();
    let provider = world.provider(&[Mood::Fails]);
    let error = world.harness.run("out", 2, &texts(&provider.sets())).expect_err("refused");
    let said = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{said}");
    assert!(said.contains("endpoint=b") && said.contains("no such model"), "{said}");
    again(&world, &provider.sets()).expect("taken now");
    world.holds("out", "after a refusal");
}

/// Waits for something that comes within a minute.
fn until(mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_mins(1), "it never comes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a run, kills it once so many batches were submitted, and gives how many there were.
fn killed(world: &World, provider: &Provider, batches: usize) -> usize {
    let sets = provider.sets();
    let mut process = world.harness.process(&world.harness.at("out"), 2, &texts(&sets));
    let mut child = process.stdout(Stdio::null()).spawn().expect("a process");
    until(|| {
        assert!(child.try_wait().expect("a process").is_none(), "it ended by itself");
        provider.batches() >= batches
    });
    // Long enough for the note of what was said, and not for more than that.
    std::thread::sleep(Duration::from_millis(150));
    child.kill().expect("killed");
    child.wait().expect("ended");
    provider.batches()
}

#[test]
fn a_killed_run_waits_for_its_batches_and_pays_nothing_twice() {
    // Submitted and known to be; submitted, and no reply came.
    for mood in [Mood::Plain, Mood::Silent] {
        let world = World::new();
        let provider = world.provider(&[mood]);
        provider.seen().held = true;
        let before = killed(&world, &provider, 1);
        let lines = provider.seen().lines;
        assert_eq!(world.harness.server.bill().all(), 0, "nothing is answered yet");
        // Killed again while it waits, and looks for the batch in a list that is late: no batch more.
        provider.seen().late_lists = 3;
        let sets = provider.sets();
        let mut process = world.harness.process(&world.harness.at("out"), 1, &texts(&sets));
        let mut child = process.stdout(Stdio::null()).spawn().expect("a process");
        std::thread::sleep(Duration::from_millis(700));
        assert!(child.try_wait().expect("a process").is_none(), "it waits");
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!((provider.batches(), provider.seen().lines), (before, lines), "{mood:?}");
        world.runtime.block_on(provider.release());
        world.harness.run("out", 2, &texts(&sets)).expect("a run");
        world.holds("out", &format!("{mood:?}"));
    }
}

#[test]
fn a_batch_that_the_provider_has_no_more_is_named_with_its_note() {
    let world = World::new();
    let provider = world.provider(&[]);
    provider.seen().held = true;
    killed(&world, &provider, 1);
    provider.seen().gone = usize::MAX;
    let sets = provider.sets();
    let mut ended = world.harness.run("out", 2, &texts(&sets));
    // Those that were submitted until now stay away, how many they are; later ones are answered.
    let mut seen = provider.seen();
    (seen.gone, seen.held) = (seen.batches.len(), false);
    drop(seen);
    let mut deleted = 0;
    while let Err(error) = ended {
        let error = error.to_string();
        let note = error.split_once("note=").and_then(|(_, rest)| rest.split_once(',')).expect("a note").0;
        assert!(error.contains("remedy=see the provider") && error.contains("endpoint=b"), "{error}");
        // The remedy: nothing was answered, so nothing is paid twice.
        std::fs::remove_file(note).expect("the note");
        deleted += 1;
        ended = again(&world, &sets);
    }
    assert!(deleted > 0, "the first run after the kill meets a batch that is gone");
    world.holds("out", "after the note was deleted");
}
