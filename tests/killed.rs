//! Processes that run the chain are killed at random moments, and the last one ends with the rows of a run that nobody
//! touched, without paying for an answer that was already in the journal.
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads its orders from the environment, and has patience"
)]

#[path = "support/by_script.rs"]
mod by_script;
#[path = "support/models.rs"]
mod models;

use by_script::ByScript;
use isogloss::config::Settings;
use isogloss::curate::{Given, curate};
use isogloss::stop::Stop;
use models::Models;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names the settings file of a process that is to be killed.
const SETTINGS: &str = "ISOGLOSS_TEST_KILLED_SETTINGS";

/// Requests in flight, as the settings of the server say: only what was not yet answered may be asked again.
const LOST_PER_KILL: u32 = 16;

#[test]
#[ignore = "the process that the other test starts and kills"]
fn process() {
    let path = std::env::var(SETTINGS).expect("started by the other test");
    let settings = Settings::load(Path::new(&path), &[]).expect("valid");
    let given = Given { endpoints: None, identifier: Some(Arc::new(ByScript)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    curate(settings, given, runtime.handle(), &Stop::default()).expect("a run");
}

fn started(settings: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "process", "--ignored"])
        .env(SETTINGS, settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("a process")
}

/// The digest of the rows in a manifest, and how many there are.
fn published(output: &Path) -> (String, usize) {
    let text = std::fs::read_to_string(output.join("current/manifest.json")).expect("a snapshot");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("json");
    let parts = manifest["parts"].as_array().expect("parts").len();
    (manifest["digest"].to_string(), parts)
}

#[test]
fn a_run_that_was_killed_resumes_and_pays_for_nothing_twice() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    let written = |server: &Models, output: &str, workers: usize| -> (PathBuf, PathBuf) {
        let (path, output) = (folder.path().join(format!("{output}.toml")), folder.path().join(output));
        let text = format!(
            "input = ['{0}/por_Latn', '{0}/rus_Cyrl', '{0}/ell_Grek']\noutput = '{1}'\nworkers = {workers}\n{2}",
            corpora.display(),
            output.display(),
            server.settings()
        );
        std::fs::write(&path, text).expect("written");
        (path, output)
    };

    let untouched = runtime.block_on(Models::start(Duration::ZERO));
    let (settings, calm) = written(&untouched, "calm", 2);
    assert!(started(&settings).wait().expect("ended").success());
    let asked = untouched.bill().all();
    assert!(asked > 300 && untouched.bill().again() == 0, "{asked}, again {}", untouched.bill().again());

    let server = runtime.block_on(Models::start(Duration::from_millis(4)));
    let (settings, resumed) = written(&server, "killed", 3);
    let mut kills = 0;
    // Each process lives until the server has answered some more: from its first requests to its last.
    for share in [1, 12, 30, 55, 80, 97] {
        let mut child = started(&settings);
        let patience = Instant::now();
        while server.bill().all() < asked * share / 100 && patience.elapsed() < Duration::from_mins(1) {
            if child.try_wait().expect("a process").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let ended = child.try_wait().expect("a process");
        assert!(ended.is_none(), "ended before it was killed at {share} %: {ended:?}");
        child.kill().expect("killed");
        child.wait().expect("ended");
        kills += 1;
    }
    assert!(started(&settings).wait().expect("ended").success());
    assert_eq!(published(&resumed), published(&calm));
    let all = server.bill().all();
    let again = server.bill().again();
    assert!(again <= kills * LOST_PER_KILL, "{again} of {all} answers were paid twice, kills={kills}");
    assert_eq!(all - again, asked, "the same requests, each once");

    let before = server.bill().all();
    assert!(started(&settings).wait().expect("ended").success());
    assert_eq!(server.bill().all(), before, "nothing to do, nothing to pay");
}
