use super::*;
use crate::error::ErrorKind;
use crate::llm::{Answer, Reply, Role, Usage};
use crate::telemetry::SystemClock;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Tells the child of the test below where to write.
const CHILD: &str = "ISOGLOSS_TEST_JOURNAL";

struct Given(u64);

impl Clock for Given {
    fn unix_ms(&self) -> u64 {
        self.0
    }
}

fn open(path: &Path) -> Result<Journal> {
    Journal::open(path, Arc::new(Given(7)))
}

fn entry(text: &str) -> Entry {
    let reply = Reply { answer: Answer::Text(text.to_owned()), usage: Usage::default() };
    Entry { reply, role: Role::Translate, identity: "m".to_owned(), unix_ms: 7, paid_nano: None }
}

#[tokio::test]
async fn answers_are_there_again_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.redb");
    let journal = open(&path).expect("made");
    assert!(journal.is_empty().expect("reads") && journal.unix_ms() == 7);
    journal.put(1, &entry("a")).expect("kept");
    journal.put(u128::MAX, &entry("b")).expect("kept");
    drop(journal);
    let journal = open(&path).expect("opened");
    assert_eq!(journal.get(1).expect("reads"), Some(entry("a")));
    assert_eq!(journal.get(u128::MAX).expect("reads"), Some(entry("b")));
    assert_eq!(journal.get(2).expect("reads"), None);
    assert_eq!((journal.hits_and_misses(), journal.len().expect("reads")), ((2, 1), 2));
}

#[tokio::test]
async fn answers_of_many_askers_share_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Arc::new(open(&folder.path().join("journal.redb")).expect("made"));
    let mut puts = tokio::task::JoinSet::new();
    for key in 0..3000 {
        let journal = Arc::clone(&journal);
        puts.spawn(async move { journal.put(key, &entry(&key.to_string())).map(|()| key) });
    }
    while let Some(put) = puts.join_next().await {
        let key = put.expect("no panic").expect("kept");
        // Whoever was told that it is kept finds it.
        assert_eq!(journal.get(key).expect("reads"), Some(entry(&key.to_string())));
    }
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.redb");
    let _first = open(&path).expect("made");
    let error = open(&path).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("another process") && error.to_string().contains("journal.redb"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_file_names_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.redb");
    std::fs::write(&path, "not a journal at all ".repeat(900)).expect("written");
    let error = open(&path).err().expect("garbage");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("journal.redb") && error.to_string().contains("remedy="), "{error}");

    std::fs::remove_file(&path).expect("removed");
    let journal = open(&path).expect("made");
    for key in 0..50 {
        journal.put(key, &entry(&"x".repeat(3000))).expect("kept");
    }
    drop(journal);
    let whole = std::fs::read(&path).expect("read");
    for damage in [whole.len() / 2, whole.len() - 4096, 200] {
        std::fs::write(&path, whole.get(..damage).expect("shorter")).expect("cut");
        if let Err(error) = open(&path) {
            assert!(error.to_string().contains("journal.redb"), "{error}");
        }
    }
}

#[test]
fn a_missing_folder_is_unavailable() {
    let error = open(Path::new("/no/such/folder/journal.redb")).err().expect("no folder");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Not a test of its own: the process that the next test kills.
#[test]
#[ignore = "the child of a_kill_loses_nothing_that_was_kept"]
fn child_that_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its child where to write")]
    let Ok(path) = std::env::var(CHILD) else { return };
    let journal = Arc::new(Journal::open(Path::new(&path), Arc::new(SystemClock)).expect("opened"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    for asker in 0..16_u128 {
        let journal = Arc::clone(&journal);
        runtime.spawn(async move {
            for i in 0.. {
                let key = (asker << 64) | i;
                journal.put(key, &entry(&key.to_string())).expect("kept");
                let mut out = std::io::stderr().lock();
                writeln!(out, "kept {key}").expect("told");
            }
        });
    }
    std::thread::sleep(std::time::Duration::from_mins(1));
}

#[test]
fn a_kill_loses_nothing_that_was_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.redb");
    let mut kept = Vec::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "llm::journal::store::tests::child_that_is_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        while kept.len() < 150 * round {
            let line = lines.next().expect("the child writes").expect("text");
            kept.extend(line.strip_prefix("kept ").and_then(|key| key.parse::<u128>().ok()));
        }
        child.kill().expect("killed");
        child.wait().expect("dead");
        let journal = open(&path).expect("opens after a kill");
        for key in &kept {
            assert_eq!(journal.get(*key).expect("reads"), Some(entry(&key.to_string())), "{key} is lost");
        }
    }
}
