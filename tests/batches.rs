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
use isogloss::ErrorKind;
use isogloss::curate::Outcome;
use isogloss::sink::manifest::Manifest;
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

/// Starts a run, kills it once so many batches were submitted, and gives how many there were.
fn killed(world: &World, provider: &Provider, batches: usize) -> usize {
    let sets = provider.sets();
    let mut process = world.harness.process(&world.harness.at("out"), 2, &texts(&sets));
    let mut child = process.stdout(Stdio::null()).spawn().expect("a process");
    let start = Instant::now();
    while provider.batches() < batches {
        assert!(start.elapsed() < Duration::from_mins(1), "no batch comes");
        assert!(child.try_wait().expect("a process").is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
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
    provider.seen().gone = true;
    let sets = provider.sets();
    let error = world.harness.run("out", 2, &texts(&sets)).expect_err("gone").to_string();
    let note =
        error.split_once("note=").and_then(|(_, rest)| rest.split_once(',')).expect("a note").0.to_owned();
    assert!(error.contains("remedy=see the provider") && error.contains("endpoint=b"), "{error}");
    // The remedy: nothing was answered, so nothing is paid twice.
    std::fs::remove_file(note).expect("the note");
    let mut seen = provider.seen();
    (seen.gone, seen.held) = (false, false);
    drop(seen);
    again(&world, &sets).expect("asked again");
    world.holds("out", "after the note was deleted");
}
