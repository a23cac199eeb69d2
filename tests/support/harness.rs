//! Runs of the chain over shards of the corpora, here or in a process of their own, against one server that keeps count.

#[path = "by_script.rs"]
mod by_script;
#[path = "models.rs"]
pub(crate) mod models;

use by_script::ByScript;
use isogloss::cluster::{Join, Lead};
use isogloss::command::terminal;
use isogloss::config::Settings;
use isogloss::curate::{Given, Outcome, curate, join, lead, prepare};
use isogloss::points;
use isogloss::sink::manifest::Manifest;
use isogloss::sink::snapshot::STATE;
use isogloss::sink::verify::verify;
use isogloss::state::upkeep::{self, Verified};
use isogloss::stop::Stop;
use models::Models;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Orders of a process: its settings file; further settings, a line each; `POINT:TIMES`, where it dies; a file that it
/// makes there instead, to wait beside it.
const SETTINGS: &str = "ISOGLOSS_TEST_SETTINGS";
const SETS: &str = "ISOGLOSS_TEST_SETS";
const POINT: &str = "ISOGLOSS_TEST_POINT";
const WAITING: &str = "ISOGLOSS_TEST_WAITING";
/// How many processes it leads, itself too; in these, where the leader is; whether the first of these dies in its place.
const PROCESSES: &str = "ISOGLOSS_TEST_PROCESSES";
const LEADER: &str = "ISOGLOSS_TEST_LEADER";
const VICTIM: &str = "ISOGLOSS_TEST_VICTIM";
/// Milliseconds after which the first of these dies.
const MOMENT: &str = "ISOGLOSS_TEST_MOMENT";
/// What they prove themselves with.
const TOKEN: &str = "of the tests";

/// Requests in flight, as the settings of the server say: what a kill may lose.
pub(crate) const IN_FLIGHT: u32 = 16;

/// One server, one set of shards, any number of outputs.
pub(crate) struct Harness {
    folder: TempDir,
    pub(crate) server: Models,
    runtime: Runtime,
}

impl Harness {
    /// With a server that answers after `delay`.
    pub(crate) fn new(delay: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(Models::start(delay));
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("shards")).expect("a folder");
        Self { folder, server, runtime }
    }

    /// What lies under a name: an output, usually.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a shard of the corpora under a name, in the place of what stood there; without one, takes that away.
    pub(crate) fn put(&self, name: &str, from: Option<&Path>) {
        let path = self.at("shards").join(name);
        match from {
            Some(from) => fs::copy(from, path).map(drop).expect("a shard"),
            None => fs::remove_file(path).expect("a shard"),
        }
    }

    fn settings(&self, output: &Path, workers: usize) -> PathBuf {
        let name = output.file_name().and_then(|name| name.to_str()).expect("a name");
        let path = self.at(&format!("{name}-{workers}.toml"));
        let text = format!(
            "input = ['{}']\noutput = '{}'\nworkers = {workers}\n{}",
            self.at("shards").display(),
            output.display(),
            self.server.settings()
        );
        fs::write(&path, text).expect("written");
        path
    }

    /// Runs in this process.
    pub(crate) fn run(&self, output: &str, workers: usize, sets: &[&str]) -> isogloss::Result<Outcome> {
        self.run_until(output, workers, sets, &Stop::default())
    }

    /// As [`run`](Self::run), until it is done or stopped.
    pub(crate) fn run_until(
        &self,
        output: &str,
        workers: usize,
        sets: &[&str],
        stop: &Stop,
    ) -> isogloss::Result<Outcome> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let settings = Settings::load(&self.settings(&self.at(output), workers), &sets)?;
        let given = Given { endpoints: None, identifier: Some(Arc::new(ByScript)) };
        curate(settings, given, self.runtime.handle(), stop)
    }

    /// A process that runs and ends with the code and the message of its error.
    pub(crate) fn process(&self, output: &Path, workers: usize, sets: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command
            .args(["--exact", "process", "--ignored", "--nocapture"])
            .env(SETTINGS, self.settings(output, workers))
            .env(SETS, sets.join("\n"));
        command
    }

    /// The rows, counts and audit of an output are those of a run from scratch, in memory, with the same journal, which
    /// asks nobody; every row is in its source; and the state passes its own checks.
    pub(crate) fn is_as_from_scratch(&self, output: &str, sets: &[&str], told: &str) {
        let scratch = self.at("scratch");
        fs::create_dir_all(scratch.join("state")).expect("a folder");
        for file in ["journal.redb", "journal.log-0", "journal.log-1"] {
            let from = self.at(output).join("state").join(file);
            fs::copy(from, scratch.join("state").join(file)).expect("a journal");
        }
        let asked = self.server.bill().all();
        let sets: Vec<&str> = sets.iter().copied().chain(["state.mode=memory"]).collect();
        let fresh = self.run("scratch", 1, &sets).expect("a run").manifest;
        assert_eq!(self.server.bill().all(), asked, "the journal has all answers: {told}");
        fs::remove_dir_all(scratch).expect("removed");
        same(&published(&self.at(output)), &fresh, told);
        let report = verify(&self.at(output), Path::new("/"), &mut |_| {}).expect("read");
        assert!(report.holds() && report.rows > 0, "{told}: {report}");
        let state = verify_state(&self.at(output)).expect("whole");
        assert!(state.tables > 5, "{told}: {state:?}");
    }
}

/// Two runs ended alike.
pub(crate) fn same(one: &Manifest, other: &Manifest, told: &str) {
    assert_eq!(one.digest, other.digest, "rows: {told}");
    assert_eq!(one.counts, other.counts, "counts: {told}");
    assert_eq!(one.audit, other.audit, "audit: {told}");
}

/// Reads all of the state of what readers of an output see, and checks it.
pub(crate) fn verify_state(output: &Path) -> isogloss::Result<Verified> {
    upkeep::verify(&output.join(STATE), published(output).state_name()?)
}

/// What readers of an output see.
pub(crate) fn published(output: &Path) -> Manifest {
    Manifest::load(output).expect("readable").expect("published")
}

/// Lets a process stop at a point, at the `times`th time: it dies there, or makes the file `waiting` and stays.
pub(crate) fn stops_at(command: &mut Command, point: &str, times: u32, waiting: Option<&Path>) {
    command.env(POINT, format!("{point}:{times}"));
    command.envs(waiting.map(|waiting| (WAITING, waiting)));
}

/// Who stops at the point that a process was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The leading process.
    Leader,
    /// The first of the others.
    Member,
    /// Whoever comes to it.
    Any,
}

/// Lets a process lead so many, itself too, of whom one stops, or dies after a moment if it is one of the others.
pub(crate) fn leads(command: &mut Command, processes: usize, victim: Victim, moment: Option<Duration>) {
    command.env(PROCESSES, processes.to_string()).env(VICTIM, format!("{victim:?}"));
    if victim == Victim::Member {
        command.envs(moment.map(|moment| (MOMENT, moment.as_millis().to_string())));
    }
}

/// Whether this process is spared, or one that it starts.
fn spared(number: usize) -> bool {
    match std::env::var(VICTIM).as_deref() {
        Ok("Member") => number != 1,
        Ok("Any") => false,
        _ => number != 0,
    }
}

fn die() {
    let kill = format!("kill -KILL {}", std::process::id());
    Command::new("sh").args(["-c", &kill]).status().expect("a shell");
}

/// Starts those that a process leads, and tells how it leads them.
fn started(processes: usize) -> isogloss::Result<Lead> {
    let children: Arc<Mutex<Vec<Child>>> = Arc::default();
    let started = Arc::clone(&children);
    let waiting = move || {
        let gone =
            started.lock().expect("no panic").iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)));
        if gone { Err(isogloss::Error::unavailable("a process died before it joined")) } else { Ok(()) }
    };
    let lead = Lead::at("127.0.0.1:0", processes, TOKEN.to_owned(), Box::new(waiting))?;
    for number in 1..processes {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command
            .args(["--exact", "process", "--ignored", "--nocapture"])
            .env(LEADER, lead.address()?.to_string())
            .stdout(Stdio::null());
        if spared(number) {
            command.env_remove(POINT).env_remove(MOMENT);
        }
        children.lock().expect("no panic").push(command.spawn().expect("a process"));
    }
    Ok(lead)
}

/// All shards of the corpora, in order.
pub(crate) fn corpora() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("part of the checkout");
        let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        entries
    };
    let shards = list(&root).into_iter().filter(|path| path.is_dir()).flat_map(|folder| list(&folder));
    shards.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect()
}

/// What the process does that a test starts.
pub(crate) fn obey() {
    let Ok(path) = std::env::var(SETTINGS) else {
        eprintln!("skipped: another test starts this one");
        return;
    };
    let leader = std::env::var(LEADER).ok();
    // Those that are started have no order if they are spared.
    let spared = leader.is_none() && spared(0);
    if let Some(order) = std::env::var(POINT).ok().filter(|_| !spared) {
        let (point, times) = order.rsplit_once(':').expect("an order");
        let (point, times) = (point.to_owned(), times.parse::<u32>().expect("a number"));
        let (waiting, seen) = (std::env::var(WAITING).ok(), AtomicU32::new(0));
        points::watch(move |reached| {
            if reached != point || seen.fetch_add(1, Ordering::SeqCst) + 1 != times {
                return;
            }
            if let Some(waiting) = &waiting {
                fs::write(waiting, "").expect("written");
            } else {
                die();
            }
            loop {
                std::thread::park();
            }
        });
    }
    if let Some(moment) = std::env::var(MOMENT).ok().filter(|_| leader.is_some()) {
        let moment = Duration::from_millis(moment.parse().expect("a number"));
        std::thread::spawn(move || {
            std::thread::sleep(moment);
            die();
        });
    }
    let sets = std::env::var(SETS).unwrap_or_default();
    let sets: Vec<String> = sets.lines().map(str::to_owned).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let given = Given { endpoints: None, identifier: Some(Arc::new(ByScript)) };
    let stop = Stop::default();
    let done = if let Some(leader) = leader {
        let wanted = Join { leader, token: TOKEN.to_owned(), patience: Duration::from_secs(20) };
        join(&wanted, given, runtime.handle(), &stop)
    } else {
        let processes =
            std::env::var(PROCESSES).map_or(1, |number| number.parse::<usize>().expect("a number"));
        Settings::load(Path::new(&path), &sets).and_then(|settings| {
            let job = Arc::new(prepare(settings, given, &stop)?);
            let many = processes > 1 && !job.is_done();
            let with = many.then(|| started(processes)).transpose()?;
            lead(&job, with, runtime.handle(), &stop).map(drop)
        })
    };
    std::process::exit(match done {
        Ok(()) => 0,
        Err(error) => {
            terminal::tell(&error);
            i32::from(error.kind().exit_code())
        }
    });
}
