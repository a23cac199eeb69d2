//! The program as a person meets it: help, messages, exit codes; the settings that come with it.

#[path = "terminal/bench.rs"]
mod bench;
#[path = "support/lid.rs"]
mod lid;
#[path = "support/models.rs"]
mod models;
#[path = "terminal/plan.rs"]
mod plan;

use assert_cmd::Command;
use isogloss::config::Settings;
use lid::can_identify;
use models::Models;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn isogloss(flags: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("isogloss").expect("built by cargo");
    // No model file is needed by any of these, and none may be fetched.
    let folder = tempfile::tempdir().expect("a folder");
    command.env("HOME", folder.path()).env_remove("XDG_CACHE_HOME").args(flags);
    ended(&mut command)
}

fn ended(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// What a command said that must succeed, with the model files of this machine.
fn done(flags: &[&str]) -> String {
    let mut command = Command::cargo_bin("isogloss").expect("built by cargo");
    let output = command.args(flags).output().expect("started");
    assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A server of models and a folder, where langs can be identified.
struct World {
    /// The server ends with it.
    _runtime: tokio::runtime::Runtime,
    server: Models,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Option<Self> {
        can_identify().then(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            let server = runtime.block_on(Models::start(Duration::ZERO));
            Self { _runtime: runtime, server, folder: tempfile::tempdir().expect("a folder") }
        })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// The JSON object that a run ends with.
fn run_told(settings: &str) -> serde_json::Value {
    let told = done(&["run", settings, "--json"]);
    serde_json::from_str(told.lines().last().expect("a line")).expect("JSON")
}

/// Rows that came to a stage, as a run tells.
fn came(ran: &serde_json::Value, stage: &str) -> u64 {
    let chain =
        ["translate", "instruct", "score", "embed", "threshold", "near_instruction", "quota", "localize"];
    let from = chain.iter().position(|name| *name == stage).expect("a stage");
    let ends = ran["counts"].as_array().expect("counts").iter();
    let later = ends.filter(|end| chain[from..].iter().any(|name| end["stage"] == *name));
    later.filter_map(|end| end["count"].as_u64()).sum()
}

#[test]
fn help_has_every_command_an_example_and_the_exit_codes() {
    let (code, said, _) = isogloss(&["--help"]);
    assert_eq!(code, 0);
    for command in [
        "quickstart",
        "run",
        "join",
        "check",
        "dedup",
        "bench",
        "models",
        "settings",
        "codebook",
        "show",
        "verify",
        "journal",
        "plan",
        "state",
        "pack",
    ] {
        assert!(said.contains(command), "{command} is not in the help");
        let (code, said, _) = isogloss(&[command, "--help"]);
        assert!(code == 0 && said.contains("Example"), "{command}: {said}");
    }
    assert!(said.contains("Exit codes"));
    assert_eq!(isogloss(&["rnu"]).0, 2);
}

#[test]
fn a_mistake_is_told_with_its_remedy_and_its_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let shard = at("broken.parquet", "PAR1 this is no Parquet PAR1");
    let typo = at("typo.toml", "wrokers = 2\n");
    let range = at("range.toml", "input = ['x']\n[segment]\nleast_chars = 0\n");
    let away = at("away.toml", "input = ['nowhere/*.parquet']\n");
    let broken = at("broken.toml", &format!("input = ['{shard}']\n"));
    let unset = at(
        "unset.toml",
        "input = ['x']\nroles = { translate = 'm' }\n[endpoints.m]\nkind = 'http'\nurl = 'http://127.0.0.1:9/v1'\n\
         model = 'm'\nkey_env = 'ISOGLOSS_NOT_SET'\n",
    );
    for (settings, code, words) in [
        (typo.as_str(), 3, "wrokers"),
        (range.as_str(), 3, "least_chars"),
        (away.as_str(), 3, "nowhere"),
        (broken.as_str(), 4, "broken.parquet"),
        (folder.path().join("none.toml").to_str().expect("UTF-8"), 3, "none.toml"),
    ] {
        for command in ["check", "run"] {
            let output = folder.path().join("out").display().to_string();
            let (ended, _, told) = isogloss(&[command, settings, "--output", &output]);
            assert_eq!(ended, code, "{command} {settings}: {told}");
            assert!(told.contains(words), "{command} {settings}: {told}");
            assert!(!Path::new(&output).join("current").exists(), "{command} {settings} published something");
        }
    }
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora/ell_Grek");
    let (ended, _, told) = isogloss(&["check", &unset, "--input", &corpora.display().to_string()]);
    assert!((3..=5).contains(&ended) && told.contains("remedy"), "{ended}: {told}");
    let (ended, _, told) = isogloss(&["show", &folder.path().display().to_string()]);
    assert!(ended != 0 && told.contains("isogloss:"), "{ended}: {told}");
}

#[test]
fn missing_model_files_are_named_with_the_remedy_before_any_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out").display().to_string();
    let sets = format!("model_cache={}", folder.path().join("models").display());
    let flags = ["run", "dataflows/curate/quickstart.toml", "--output", &output, "--set", &sets];
    let (code, said, told) = isogloss(&flags);
    assert_eq!(code, 5, "{told}");
    assert!(said.is_empty() && told.contains("isogloss models --fetch"), "{told}");
    let (code, said, _) = isogloss(&["models"]);
    assert!(code == 0 && said.contains("missing") && said.contains("sha256"), "{said}");
    assert_ne!(isogloss(&["models", "--verify"]).0, 0);
}

#[test]
fn the_settings_that_come_with_it_are_valid() {
    for entry in std::fs::read_dir("dataflows/curate").expect("part of the checkout") {
        let path = entry.expect("listed").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let mut settings = Settings::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
            settings.input = vec!["data/corpora".to_owned()];
            settings.check().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
    let (code, said, _) = isogloss(&["settings", "dataflows/curate/quickstart.toml", "--set", "workers=3"]);
    assert_eq!(code, 0);
    let printed = Settings::parse(&said, &[]).expect("what is printed can be read");
    assert_eq!((printed.workers, printed.sample.per_lang), (3, Some(60)));
}

#[test]
fn an_interrupt_stops_cleanly_and_the_same_command_resumes() {
    if !can_identify() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(Models::start(Duration::from_millis(20)));
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("run.toml");
    let text = format!("input = ['data/corpora']\n{}", server.settings());
    std::fs::write(&settings, text).expect("written");
    let output = folder.path().join("out");
    let started = || {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("isogloss"));
        command.arg("run").arg(&settings).arg("--output").arg(&output).arg("--json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    };

    let child = started();
    while server.bill().all() < 40 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupt = ["-INT".to_owned(), child.id().to_string()];
    assert!(std::process::Command::new("kill").args(interrupt).status().expect("started").success());
    let ended = child.wait_with_output().expect("ended");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(told.contains("run the same command again"), "{told}");
    assert!(!output.join("current").exists(), "half a snapshot");

    let ended = started().wait_with_output().expect("ended");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8(ended.stdout).expect("UTF-8");
    let last: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert!(last["digest"].is_string() || last["manifest_digest"].is_string(), "{last}");
    // Only what was in flight may have been asked again.
    let again = server.bill().again();
    assert!(again <= 16, "{again}");
    let asked = server.bill().all();
    assert!(started().wait().expect("ended").success());
    assert_eq!(server.bill().all(), asked, "a rerun asks nobody");
}

/// The program as several processes, started by it and by hand: the same rows, and nobody asked twice.
#[test]
fn processes_give_the_rows_of_one() {
    let refused = |flags: &[&str], words: &str| {
        let (code, _, said) = isogloss(&[&["run", "dataflows/curate/quickstart.toml"], flags].concat());
        assert!(code == 3 && said.contains(words), "{flags:?}: {code} {said}");
    };
    refused(&["--processes", "0"], "flag=--processes");
    refused(&["--listen", "127.0.0.1:0"], "--processes");
    refused(&["--processes", "2", "--listen", "127.0.0.1:0"], "ISOGLOSS_CLUSTER_TOKEN");
    let (code, _, said) = isogloss(&["join", "127.0.0.1:9", "--wait", "0"]);
    assert!(code == 3 && said.contains("ISOGLOSS_CLUSTER_TOKEN"), "{said}");
    let Some(world) = World::new() else { return };
    let (server, folder) = (&world.server, &world.folder);
    let at = |name: &str| world.at(name);
    let text = format!("input = ['data/corpora/tur_Latn', 'data/corpora/por_Latn']\n{}", server.settings());
    std::fs::write(at("run.toml"), text).expect("written");
    let manifest = |output: &str| {
        std::fs::read_to_string(Path::new(&at(output)).join("current/manifest.json")).expect("published")
    };
    let ran = |output: &str, flags: &[&str]| -> serde_json::Value {
        let output = at(output);
        let said = done(&[&["run", &at("run.toml"), "--output", &output, "--json"], flags].concat());
        serde_json::from_str(said.lines().last().expect("a line")).expect("JSON")
    };
    ran("one", &[]);
    let asked = server.bill().all();
    // The answers, and with them the secret that fences prompts, so that all ask alike.
    let shared = |output: &str| {
        let state = folder.path().join(output).join("state");
        std::fs::create_dir_all(&state).expect("made");
        std::fs::copy(folder.path().join("one/state/journal.redb"), state.join("journal.redb"))
            .expect("copied");
    };
    shared("three");
    ran("three", &["--processes", "3", "--workers", "1"]);
    assert_eq!(manifest("three"), manifest("one"));
    let again = ran("three", &["--processes", "2"]);
    assert_eq!(again["ran"], false, "{again}");

    shared("joined");
    let (output, settings, token) = (at("joined"), at("run.toml"), "of-this-test");
    let memory = ["run", &settings, "--output", &output, "--processes", "2", "--set", "state.mode=memory"];
    let (code, _, said) = isogloss(&memory);
    assert!(code == 3 && said.contains("key=state.mode"), "{said}");
    let program = || {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("isogloss"));
        command.env("ISOGLOSS_CLUSTER_TOKEN", token).stderr(Stdio::piped());
        command
    };
    let mut leader = program()
        .args(["run", &settings, "--output", &output, "--processes", "2", "--listen", "127.0.0.1:0"])
        .spawn()
        .expect("started");
    let mut said = BufReader::new(leader.stderr.take().expect("piped")).lines();
    let address = said
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split("waiting for 1 processes at ").nth(1).map(str::to_owned))
        .expect("it says where");
    let wrong = program().args(["join", &address]).env("ISOGLOSS_CLUSTER_TOKEN", "guessed").output();
    assert_eq!(wrong.expect("started").status.code(), Some(3));
    let member = program().args(["join", &address]).current_dir(folder.path()).output().expect("started");
    assert!(member.status.success(), "{}", String::from_utf8_lossy(&member.stderr));
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    assert!(leader.wait().expect("ended").success(), "{rest:?}");
    assert_eq!(manifest("joined"), manifest("one"));
    assert_eq!(server.bill().all(), asked, "nobody is asked again");
}

#[test]
fn answers_move_to_another_output_and_are_not_paid_again() {
    let Some(world) = World::new() else { return };
    let server = &world.server;
    let at = |name: &str| world.at(name);
    std::fs::write(at("run.toml"), format!("input = ['data/corpora/tur_Latn']\n{}", server.settings()))
        .expect("written");
    let ran = |output: &str| {
        done(&["run", &at("run.toml"), "--output", output]);
        std::fs::read_to_string(Path::new(output).join("current/manifest.json")).expect("published")
    };

    let manifest = ran(&at("a"));
    let asked = server.bill().all();
    assert!(asked > 10, "{asked}");
    let shown = done(&["journal", "show", &at("a")]);
    assert!(
        ["translate", "instruct", "score", "localize"].iter().all(|role| shown.contains(role)),
        "{shown}"
    );
    let kept: u64 = shown
        .rsplit("answers=")
        .next()
        .and_then(|rest| rest.split(',').next()?.parse().ok())
        .expect("a count");
    let moved = done(&["journal", "export", &at("a"), &at("answers.parquet")]);
    assert!(moved.contains(&format!("answers={kept}, unreadable=0")), "{moved}");
    assert_eq!(isogloss(&["journal", "export", &at("a"), &at("answers.parquet")]).0, 3, "over a file");
    done(&["journal", "import", &at("b"), &at("answers.parquet")]);
    assert_eq!(ran(&at("b")), manifest, "other rows from the same answers");
    assert_eq!(server.bill().all(), asked, "an imported answer was paid again");

    assert_eq!(isogloss(&["journal", "prune", &at("b")]).0, 3, "everything");
    assert_eq!(isogloss(&["journal", "prune", &at("b"), "--role", "scores"]).0, 3);
    assert_eq!(isogloss(&["journal", "show", &at("none")]).0, 3);
    let counted = done(&["journal", "prune", &at("b"), "--role", "localize", "--dry-run"]);
    let pruned = done(&["journal", "prune", &at("b"), "--role", "localize"]);
    let number = |told: &str| {
        told.split("answers=").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u64>().ok())
    };
    assert!(
        number(&pruned).is_some_and(|count| count > 0) && number(&counted) == number(&pruned),
        "{counted}{pruned}"
    );
    done(&["journal", "export", &at("b"), &at("fewer.parquet")]);
    done(&["journal", "import", &at("c"), &at("fewer.parquet")]);
    assert_eq!(ran(&at("c")), manifest, "other rows from the same answers");
    assert_eq!(
        u64::from(server.bill().all() - asked),
        number(&pruned).expect("a count"),
        "only what was pruned is paid"
    );
}

#[test]
fn dedup_lists_what_to_keep_and_a_rerun_does_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora").display().to_string();
    let flags = |more: &[&'static str]| {
        let mut flags = vec!["dedup", "--input", &corpora, "--output"];
        let output = at("out");
        flags.push(&output);
        flags.extend(more);
        isogloss(&flags)
    };
    let (code, said, told) = flags(&["--rows", "--json", "--workers", "2"]);
    assert_eq!(code, 0, "{told}");
    assert!(said.starts_with("rows="), "{said}");
    let report: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    let counts = &report["counts"];
    let count = |name: &str| counts[name].as_u64().expect("a count");
    assert_eq!(report["ran"], true);
    assert!(count("exact") + count("near") > 0, "the corpora have copies: {counts}");
    assert_eq!(count("rows"), count("kept") + count("exact") + count("near"), "{counts}");
    for name in ["kept.parquet", "clusters.parquet", "pairs.parquet", "manifest.json", "rows"] {
        assert!(folder.path().join("out").join(name).exists(), "{name}");
    }
    let (code, said, told) = flags(&["--rows", "--json", "--workers", "1"]);
    assert!(code == 0 && told.contains("nothing to do"), "{told}");
    assert!(
        said.contains(r#""ran":false"#) && said.contains(report["digest"].as_str().expect("hex")),
        "{said}"
    );

    // Its state is looked after like that of a run, and another threshold reads nothing again.
    for (what, wanted) in
        [("show", "dedup/docs"), ("verify", "state holds"), ("compact", "compacted"), ("collect", "files=0")]
    {
        assert!(done(&["state", what, &at("out")]).contains(wanted), "{what}");
    }
    let (code, said, told) = flags(&["--json", "--set", "dedup.least_resemblance=0.9"]);
    let strict: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert!(report["row_groups_read"].as_u64().is_some_and(|groups| groups > 0), "{report}");
    assert_eq!((code, &strict["ran"], &strict["row_groups_read"]), (0, &true.into(), &0.into()), "{told}");

    // Mistakes are told before any work, by kind.
    assert_eq!(isogloss(&["dedup", "--output", &at("b")]).0, 2, "no input");
    let none = at("none/*.parquet");
    for (code, word, flags) in [
        (4, "no text column", ["--input", &corpora, "--text", "nothing"]),
        (4, "no id column", ["--input", &corpora, "--id", "nothing"]),
        (3, "key=workers", ["--input", &corpora, "--workers", "0"]),
        (3, "least_resemblance", ["--input", &corpora, "--set", "dedup.least_resemblance=2"]),
        (3, "matches no shard", ["--input", &none, "--workers", "1"]),
    ] {
        let output = at("c");
        let (ended, _, told) = isogloss(&[&["dedup", "--output", &output][..], &flags].concat());
        assert_eq!(ended, code, "{told}");
        assert!(told.contains(word) && told.contains("remedy="), "{told}");
        assert!(!Path::new(&output).join("kept.parquet").exists());
    }
}
