//! Many languages at once, against an OpenAI-compatible server on loopback: every lang gets rows that hold against their
//! source, or ends whose sums do. Needs the language model's file; other corpora are read where they stand.

#[path = "support/lid.rs"]
mod lid;
#[path = "support/models.rs"]
mod models;

use isogloss::config::Settings;
use isogloss::curate::{Given, Outcome, curate};
use isogloss::model::{Lang, Stage};
use isogloss::sink::verify::verify;
use isogloss::stop::Stop;
use isogloss::telemetry::table::{Style, table};
use lid::can_identify;
use models::Models;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A folder of further corpora, one folder a lang; never part of the project.
const FURTHER: &str = "../shared/data/corpora";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn run(corpora: &Path, output: &Path, server: &Models, runtime: &Runtime, sets: &[&str]) -> Outcome {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let mut settings = Settings::parse(&server.settings(), &sets).expect("valid");
    settings.input = vec![corpora.display().to_string()];
    output.clone_into(&mut settings.output);
    curate(settings, Given::default(), runtime.handle(), &Stop::default()).expect("a run")
}

fn langs_of(outcome: &Outcome) -> Vec<Lang> {
    outcome.manifest.rows_by_lang().into_iter().filter(|(_, rows)| *rows > 0).map(|(lang, _)| lang).collect()
}

#[test]
fn every_lang_of_the_corpora_gets_rows() {
    if !can_identify() {
        return;
    }
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a folder"));
    let server = runtime.block_on(Models::start(Duration::ZERO));
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    let sets = ["select.threshold.target_rate=0.8", "select.near_instruction.least_resemblance=1.0"];
    let outcome = run(&corpora, folder.path(), &server, &runtime, &sets);
    let langs = langs_of(&outcome);
    for entry in std::fs::read_dir(&corpora).expect("part of the checkout") {
        let name = entry.expect("listed").file_name().into_string().expect("ASCII");
        if let Some(lang) = Lang::from_tag(&name) {
            assert!(langs.contains(&lang), "{name} has no rows: {langs:?}");
        }
    }
    let report = verify(folder.path(), Path::new("/"), &mut |_| {}).expect("read");
    assert!(report.holds() && report.rows > 60, "{report}");
    assert_eq!(server.bill().again(), 0);
}

#[test]
fn twenty_langs_of_other_corpora_get_rows() {
    let corpora: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(FURTHER);
    if !corpora.is_dir() {
        eprintln!("skipped: no corpora at {FURTHER}");
        return;
    }
    if !can_identify() {
        return;
    }
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a folder"));
    let server = runtime.block_on(Models::start(Duration::ZERO));
    let sets = [
        "sample.per_lang=8",
        "select.threshold.target_rate=0.8",
        "select.near_instruction.least_resemblance=1.0",
    ];
    let outcome = run(&corpora, folder.path(), &server, &runtime, &sets);
    let langs = langs_of(&outcome);
    let told = table(&outcome.tally, &outcome.costs, Style::PLAIN);
    assert!(langs.len() >= 20, "{} langs\n{told}", langs.len());
    outcome.tally.conserved().expect("in = kept + dropped + faulted");
    let report = verify(folder.path(), Path::new("/"), &mut |_| {}).expect("read");
    assert!(report.holds(), "{report}");
    let asked = server.bill().all();
    assert_eq!(server.bill().again(), 0);
    // Only what was selected is localized.
    let entered = |stage| outcome.tally.entered(stage);
    assert!(entered(Stage::Localize) < entered(Stage::Threshold));
    let again = run(&corpora, folder.path(), &server, &runtime, &sets);
    assert!(!again.ran && server.bill().all() == asked);
}
