//! The whole chain with scripted models on the project's corpora: one answer for any number of workers, after any
//! change of the shards, and for nothing the second time.

#[path = "support/by_script.rs"]
mod by_script;

use by_script::ByScript;
use isogloss::cluster::{Join, Lead};
use isogloss::config::Settings;
use isogloss::curate::{Endpoints, Given, Outcome, execute, join, lead as lead_run, prepare};
use isogloss::llm::scripted::Scripted;
use isogloss::model::Stage;
use isogloss::sink::verify::verify;
use isogloss::stop::Stop;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    model: Arc<Scripted>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), model: Arc::new(Scripted::echo()) }
    }

    /// With these shards, as 00.parquet, 01.parquet and so on.
    fn of(shards: &[PathBuf]) -> Self {
        let bench = Self::new();
        for (i, shard) in shards.iter().enumerate() {
            bench.put(&format!("{i:02}.parquet"), shard);
        }
        bench
    }

    fn shards(&self) -> PathBuf {
        self.folder.path().join("shards")
    }

    /// Puts a shard of the corpora under a name, in the place of what stood there.
    fn put(&self, name: &str, from: &Path) {
        fs::create_dir_all(self.shards()).expect("a folder");
        fs::copy(from, self.shards().join(name)).expect("a shard");
    }

    fn run(&self, output: &str, workers: usize, sets: &[&str]) -> isogloss::Result<Outcome> {
        self.run_among(output, workers, 1, sets)
    }

    /// As several processes, each with so many workers: all but the leader are threads here, which share nothing with it
    /// but folders and sockets.
    fn run_among(
        &self,
        output: &str,
        workers: usize,
        processes: usize,
        sets: &[&str],
    ) -> isogloss::Result<Outcome> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let mut settings = Settings::parse("[select.threshold]\ntarget_rate = 0.5\n", &sets)?;
        settings.input = vec![self.shards().display().to_string()];
        settings.output = self.folder.path().join(output);
        settings.workers = workers;
        let mut endpoints: Endpoints = [("embedded".to_owned(), Arc::clone(&self.model) as _)].into();
        for name in ["one", "two"] {
            let model = Scripted::echo().named(&format!("scripted-{name}"));
            endpoints.insert(name.to_owned(), Arc::new(model));
        }
        let given = Given { endpoints: Some(endpoints), identifier: Some(Arc::new(ByScript)) };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let stop = Stop::default();
        let job = Arc::new(prepare(settings, given, &stop)?);
        if processes == 1 {
            return execute(&job, runtime.handle(), &stop);
        }
        let lead = Lead::at("127.0.0.1:0", processes, "told".to_owned(), Box::new(|| Ok(())))?;
        let wanted = Join {
            leader: lead.address()?.to_string(),
            token: "told".to_owned(),
            patience: Duration::from_mins(1),
        };
        let none_needed = Stop::default();
        std::thread::scope(|scope| {
            let members: Vec<_> = (1..processes)
                .map(|_| {
                    let given = Given { endpoints: None, identifier: Some(Arc::new(ByScript)) };
                    let (wanted, handle, stop) = (wanted.clone(), runtime.handle(), none_needed.clone());
                    scope.spawn(move || join(&wanted, given, handle, &stop))
                })
                .collect();
            let outcome = lead_run(&job, Some(lead), runtime.handle(), &stop);
            if outcome.as_ref().is_ok_and(|outcome| !outcome.ran) {
                none_needed.raise(isogloss::Error::unavailable("nothing to do"));
            }
            for member in members {
                let done = member.join().expect("a member");
                let ran = outcome.as_ref().is_ok_and(|outcome| outcome.ran);
                assert_eq!(done.is_ok(), ran, "{done:?} {:?}", outcome.as_ref().err());
            }
            outcome
        })
    }

    /// An output folder that has the journal of another one, and nothing else.
    fn with_journal(&self, of: &str, output: &str) {
        let state = self.folder.path().join(output).join("state");
        fs::create_dir_all(&state).expect("a folder");
        fs::copy(self.folder.path().join(of).join("state/journal.redb"), state.join("journal.redb"))
            .expect("a journal");
    }
}

/// What runs from scratch keep everything in.
const MEMORY: &str = "state.mode=memory";

fn corpora(langs: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    let mut shards = Vec::new();
    for lang in langs {
        let folder = fs::read_dir(root.join(lang)).expect("the folder is part of the checkout");
        shards.extend(folder.map(|entry| entry.expect("an entry").path()));
    }
    shards.sort();
    shards
}

#[test]
fn the_rows_do_not_depend_on_the_number_of_workers() {
    let langs = ["por_Latn", "rus_Cyrl", "ell_Grek", "arb_Arab", "hin_Deva", "kor_Hang", "jpn_Jpan"];
    let bench = Bench::of(&corpora(&langs));
    let one = bench.run("one", 1, &["audit=all"]).expect("a run");
    assert!(one.manifest.rows_by_lang().len() >= 5, "{:?}", one.manifest.rows_by_lang());
    for workers in [2, 3] {
        let other = bench.run(&format!("w{workers}"), workers, &["audit=all"]).expect("a run");
        assert_eq!(one.manifest.digest, other.manifest.digest, "workers={workers}");
        assert_eq!(one.manifest.counts, other.manifest.counts, "workers={workers}");
        assert_eq!(one.manifest.audit, other.manifest.audit, "workers={workers}");
    }
    for (workers, processes) in [(1, 2), (2, 3)] {
        let name = format!("p{processes}");
        let other = bench.run_among(&name, workers, processes, &["audit=all"]).expect("a run");
        assert_eq!(one.manifest.digest, other.manifest.digest, "processes={processes}");
        assert_eq!(one.manifest.counts, other.manifest.counts, "processes={processes}");
        assert_eq!(one.manifest.audit, other.manifest.audit, "processes={processes}");
        assert_eq!(one.row_groups_read, other.row_groups_read);
    }
    let report = verify(&bench.folder.path().join("one"), Path::new("/"), &mut |_| {}).expect("read");
    assert!(report.holds() && report.rows > 10, "{report}");
}

#[test]
fn a_part_that_changes_is_copied_where_it_does_not() {
    let pool = corpora(&["por_Latn"]);
    let bench = Bench::of(&pool[..2]);
    let small = ["parts.block_rows=2"];
    bench.run("out", 2, &small).expect("a run");
    bench.put("02.parquet", &pool[2]);
    let (asked, more) = (bench.model.asked("translate"), bench.run("out", 2, &small).expect("a run"));
    assert!(more.row_groups_copied > 0 && bench.model.asked("translate") > asked);
    bench.with_journal("out", "scratch");
    let scratch = bench.run("scratch", 1, &[small[0], MEMORY]).expect("a run");
    assert_eq!(
        (more.manifest.digest, &more.manifest.parts),
        (scratch.manifest.digest, &scratch.manifest.parts)
    );
    assert_eq!(more.manifest.counts, scratch.manifest.counts);
    let report = verify(&bench.folder.path().join("out"), Path::new("/"), &mut |_| {}).expect("read");
    assert!(report.holds() && report.rows > 5, "{report}");
}

#[test]
fn a_rerun_asks_nobody_and_rewrites_nothing() {
    let bench = Bench::of(&corpora(&["por_Latn"]));
    let first = bench.run("out", 2, &[]).expect("a run");
    let (asked, manifest) =
        (bench.model.asked_at_all(), bench.folder.path().join("out/current/manifest.json"));
    let written = fs::metadata(&manifest).expect("published").modified().expect("a time");
    let again = bench.run("out", 2, &[]).expect("a run");
    assert!(first.ran && !again.ran && asked > 0);
    assert_eq!(bench.model.asked_at_all(), asked);
    assert_eq!(fs::metadata(&manifest).expect("published").modified().expect("a time"), written);
    // Another threshold asks only for what is newly selected.
    let more = bench.run("out", 2, &["select.threshold.target_rate=0.7"]).expect("a run");
    assert!(more.ran && more.manifest.digest != first.manifest.digest);
    let kinds = ["complete", "log_prob", "embed"];
    let once: u64 = kinds.iter().map(|kind| bench.model.asked(kind)).sum();
    let translated = bench.model.asked("translate");
    bench.run("out", 2, &[]).expect("a run");
    assert_eq!(kinds.iter().map(|kind| bench.model.asked(kind)).sum::<u64>(), once);
    assert_eq!(bench.model.asked("translate"), translated);
}

#[test]
fn a_role_with_several_endpoints_gives_one_answer_for_any_number_of_workers() {
    let bench = Bench::of(&corpora(&["por_Latn"]));
    let both = [
        "endpoints.one.weight=2",
        "endpoints.two.weight=1",
        "roles.translate=['one', 'two']",
        "roles.instruct=['two', 'one']",
    ];
    let first = bench.run("w1", 1, &both).expect("a run");
    assert_eq!(first.manifest.versions.translate, "scripted-one | scripted-two");
    assert_eq!(first.manifest.versions.instruct, first.manifest.versions.translate);
    assert_eq!(first.manifest.versions.embed.split(';').next(), Some("scripted-echo-1"));
    for workers in [2, 3] {
        let other = bench.run(&format!("w{workers}"), workers, &both).expect("a run");
        assert_eq!(first.manifest.digest, other.manifest.digest, "workers={workers}");
    }
    // Who answered alone is still among the two: its answers are found, and nobody is asked for them.
    let alone = bench.run("alone", 2, &["endpoints.two.weight=1", "roles.translate=two"]).expect("a run");
    bench.with_journal("alone", "joined");
    let joined = bench.run("joined", 2, &both[..3]).expect("a run");
    let (alone, joined) =
        (alone.work[&isogloss::llm::Role::Translate], joined.work[&isogloss::llm::Role::Translate]);
    assert!(alone.calls > 0 && joined.calls == 0, "{alone:?} {joined:?}");
    let told = bench.run("mixed", 1, &["endpoints.one.weight=1", "roles.embed=['embedded', 'one']"]);
    assert!(told.expect_err("two models").to_string().contains("key=roles.embed"));
}

#[test]
fn rejected_pairs_cost_no_localize_call() {
    let bench = Bench::of(&corpora(&["por_Latn"]));
    let outcome = bench.run("out", 2, &[]).expect("a run");
    let of = |stage| outcome.tally.entered(stage);
    let (scored, localized) = (of(Stage::Threshold), of(Stage::Localize));
    assert!(localized > 0 && localized <= scored / 2 + 1, "scored={scored}, localized={localized}");
    let work = &outcome.work[&isogloss::llm::Role::Localize];
    assert!(
        i64::try_from(work.calls + work.cached).expect("few") <= localized,
        "{work:?}, localized={localized}"
    );
}

/// Overwrites the middle of the first text column of a shard: its pages do not decode any more.
fn broken(shard: &Path) -> Vec<u8> {
    let mut bytes = fs::read(shard).expect("a shard");
    let reader = SerializedFileReader::new(fs::File::open(shard).expect("a shard")).expect("Parquet");
    let group = reader.metadata().row_group(0);
    let text =
        group.columns().iter().find(|column| column.column_path().string() == "text").expect("a column");
    let (start, length) = text.byte_range();
    let middle = usize::try_from(start + length / 2).expect("small");
    bytes[middle..middle + 64].fill(0xff);
    bytes
}

#[test]
fn a_broken_page_is_counted_and_its_repair_brings_the_rows_back() {
    let shards = corpora(&["por_Latn"]);
    let bench = Bench::of(&shards);
    fs::write(bench.shards().join("00.parquet"), broken(&shards[0])).expect("written");
    let worse = bench.run("out", 2, &[]).expect("a run in spite of it");
    let faulted = |outcome: &Outcome| -> i64 {
        let lines = outcome.tally.lines();
        lines
            .iter()
            .filter(|((at, _), _)| *at == Stage::Read)
            .flat_map(|(_, line)| line.faulted.values())
            .sum()
    };
    assert!(faulted(&worse) > 0, "{:?}", worse.tally.lines());
    let audited: u64 = worse.manifest.audit.iter().map(|file| file.rows).sum();
    assert!(audited >= u64::try_from(faulted(&worse)).expect("few"), "each fault has its place in the audit");
    bench.put("00.parquet", &shards[0]);
    let repaired = bench.run("out", 2, &[]).expect("a run");
    assert_eq!(faulted(&repaired), 0);
    bench.with_journal("out", "scratch");
    let scratch = bench.run("scratch", 1, &[MEMORY]).expect("a run");
    assert_eq!(repaired.manifest.digest, scratch.manifest.digest);
    assert_ne!(repaired.manifest.digest, worse.manifest.digest);
}

/// Settings that the models do not know of, and some that they do.
const SETTINGS: [&[&str]; 8] = [
    &[],
    &["select.threshold.target_rate=0.8"],
    &["select.quota.target_rate=0.6"],
    &["sample.per_lang=9"],
    &["sample.langs.por_Latn=5", "select.near_instruction.least_resemblance=0.3"],
    &["dedup.least_resemblance=0.5"],
    &["score.least_cosine=0.0"],
    &["audit=all"],
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Shards come, change and go while settings change too, with any number of workers and processes and little memory to sort in; what
    /// stands after each run is what a run from scratch in memory says, audit and all.
    #[test]
    fn durable_equals_memory(
        script in prop::collection::vec(
            (0..4_usize, prop::option::of(0..6_usize), 0..SETTINGS.len(), any::<bool>(), 1..=3_usize, 1..=3_usize), 2..5),
    ) {
        let bench = Bench::new();
        let pool = corpora(&["por_Latn", "rus_Cyrl", "ell_Grek"]);
        bench.put("9.parquet", &pool[4]);
        for (step, (place, what, settings, all, workers, processes)) in script.into_iter().enumerate() {
            let name = format!("{place}.parquet");
            match what {
                Some(shard) => bench.put(&name, &pool[shard]),
                None => drop(fs::remove_file(bench.shards().join(name))),
            }
            let mut sets = SETTINGS[settings].to_vec();
            sets.extend(all.then_some("audit=all"));
            // Small blocks: parts that change are spliced.
            sets.push("parts.block_rows=3");
            let kept: Vec<&str> = sets.iter().copied().chain(["state.sort_bytes=65536"]).collect();
            let durable = bench.run_among("out", workers, processes, &kept).expect("a run");
            let asked = bench.model.asked_at_all();
            let fresh = format!("scratch{step}");
            bench.with_journal("out", &fresh);
            let scratch = bench.run(&fresh, 1, &[&sets[..], &[MEMORY]].concat()).expect("a run");
            prop_assert_eq!(durable.manifest.digest, scratch.manifest.digest, "rows of step {}", step);
            prop_assert_eq!(&durable.manifest.counts, &scratch.manifest.counts, "counts of step {}", step);
            prop_assert_eq!(&durable.manifest.audit, &scratch.manifest.audit, "audit of step {}", step);
            prop_assert_eq!(durable.manifest.state_name().expect("JSON"), scratch.manifest.state_name().expect("JSON"));
            prop_assert_eq!(bench.model.asked_at_all(), asked, "a run from scratch with the journal asks nobody");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    /// Shards come, change and go, run by run; the last snapshot is that of a run from scratch with the same journal.
    #[test]
    fn incremental_equals_from_scratch(
        script in prop::collection::vec((0..4_usize, prop::option::of(0..6_usize)), 2..5),
        workers in 1..=3_usize,
    ) {
        let bench = Bench::new();
        let pool = corpora(&["por_Latn", "rus_Cyrl", "ell_Grek"]);
        bench.put("9.parquet", &pool[4]);
        for (place, what) in script {
            let name = format!("{place}.parquet");
            match what {
                Some(shard) => bench.put(&name, &pool[shard]),
                None => drop(fs::remove_file(bench.shards().join(name))),
            }
            bench.run("out", workers, &[]).expect("a run");
        }
        let last = bench.run("out", 1, &[]).expect("a run");
        let asked = bench.model.asked_at_all();
        bench.with_journal("out", "scratch");
        let scratch = bench.run("scratch", 2, &[MEMORY]).expect("a run");
        prop_assert_eq!(last.manifest.digest, scratch.manifest.digest);
        prop_assert_eq!(last.manifest.counts, scratch.manifest.counts);
        prop_assert_eq!(bench.model.asked_at_all(), asked, "a run from scratch with the journal asks nobody");
    }
}
