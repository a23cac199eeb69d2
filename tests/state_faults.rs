//! State that is torn, altered, missing, locked, or on a disk that is full or must not be written: a clear error with a
//! remedy and the exit code that fits, what readers see stands, and after the remedy the next run ends with the rows of a
//! run from scratch without paying for an answer twice.
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads its orders from the environment, and has patience"
)]

#[path = "support/harness.rs"]
mod harness;

use harness::{Harness, IN_FLIGHT, Victim, corpora, leads, published, same, stops_at, verify_state};
use isogloss::points::MEMBER_POINTS;
use isogloss::sink::manifest::Manifest;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
#[ignore = "the process that the other tests start"]
fn process() {
    harness::obey();
}

/// An output, `base`, behind which a shard was replaced and another added: each case is a copy of it.
struct World {
    harness: Harness,
    /// What the next run ends with, and the answers that it pays for.
    whole: Manifest,
    asked: u32,
}

impl World {
    fn new() -> Self {
        let harness = Harness::new(Duration::ZERO);
        let pool: Vec<PathBuf> =
            corpora().into_iter().filter(|path| path.to_string_lossy().contains("por_Latn")).collect();
        for (name, shard) in ["a.parquet", "b.parquet"].iter().zip(&pool) {
            harness.put(name, Some(shard));
        }
        harness.run("base", 2, &[]).expect("a run");
        harness.put("b.parquet", Some(&pool[2]));
        harness.put("c.parquet", Some(&pool[3]));
        copy(&harness.at("base"), &harness.at("whole"));
        let before = harness.server.bill().all();
        let whole = harness.run("whole", 2, &[]).expect("a run").manifest;
        let asked = harness.server.bill().all() - before;
        assert!(asked > 20, "{asked}");
        assert_eq!(harness.server.bill().again(), 0, "nothing is paid twice");
        harness.is_as_from_scratch("whole", &[], "nothing is damaged");
        assert_eq!(harness.server.bill().again(), 0, "no answer was paid twice");
        Self { harness, whole, asked }
    }

    /// A fresh copy of the base; gives its folder.
    fn case(&self) -> PathBuf {
        let case = self.harness.at("case");
        if case.exists() {
            fs::remove_dir_all(&case).expect("removed");
        }
        copy(&self.harness.at("base"), &case);
        case
    }

    /// Runs over the case; after an error, does what its remedy says. Gives the error.
    fn recovers(&self, told: &str) -> Option<String> {
        let case = self.harness.at("case");
        let (seen, before) = (bytes_of(&case.join("current")), self.harness.server.bill().all());
        let mut error = None;
        if let Err(found) = self.harness.run("case", 2, &[]) {
            let text = found.to_string();
            assert_eq!(found.kind().exit_code(), 5, "{told}: {text}");
            assert_eq!(bytes_of(&case.join("current")), seen, "{told}: {text}");
            let (_, remedy) = text.split_once("remedy=").unwrap_or_else(|| panic!("{told}: {text}"));
            let deleted: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
            assert!(!deleted.is_empty(), "{told}: {text}");
            for path in deleted.into_iter().map(Path::new) {
                assert!(path.starts_with(case.join("state")), "{told}: {text}");
                if path.is_dir() {
                    fs::remove_dir_all(path).expect("removed");
                } else if path.exists() {
                    fs::remove_file(path).expect("removed");
                }
            }
            self.harness.run("case", 1, &[]).unwrap_or_else(|error| panic!("{told}: {text}; then {error}"));
            error = Some(text);
        }
        same(&published(&case), &self.whole, told);
        assert_eq!(self.harness.server.bill().all() - before, self.asked, "answers paid: {told}");
        // Damage that no row needed is found by who looks for it.
        if error.is_some() {
            verify_state(&case).unwrap_or_else(|error| panic!("{told}: {error}"));
        }
        error
    }
}

/// Copies a folder, links as they are.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

/// All files below a folder, with their bytes.
fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(bytes_of(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            files.insert(path, bytes);
        }
    }
    files
}

/// Files of a folder of the state, by name.
fn files(case: &Path, folder: &str) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = bytes_of(&case.join("state").join(folder)).into_keys().collect();
    assert!(!files.is_empty(), "{folder}");
    files
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Cut to so many parts of 8.
    Cut(usize),
    /// One byte less.
    Short,
    /// A byte is another, so many parts of 8 from the start.
    Flip(usize),
    /// The last byte is another.
    FlipLast,
    Gone,
}

const DAMAGES: [Damage; 9] = [
    Damage::Cut(0),
    Damage::Cut(4),
    Damage::Short,
    Damage::Flip(0),
    Damage::Flip(3),
    Damage::Flip(5),
    Damage::Flip(7),
    Damage::FlipLast,
    Damage::Gone,
];

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).expect("a file");
        let length = bytes.len();
        match self {
            Self::Cut(parts) => bytes.truncate(length * parts / 8),
            Self::Short => bytes.truncate(length - 1),
            Self::Flip(parts) => bytes[length * parts / 8] ^= 1,
            Self::FlipLast => bytes[length - 1] ^= 0x80,
            Self::Gone => return fs::remove_file(path).expect("removed"),
        }
        // Not into the file, which may have other names.
        fs::remove_file(path).expect("removed");
        fs::write(path, bytes).expect("written");
    }
}

#[test]
fn damaged_runs_and_manifests_of_the_state_cost_nothing_once_the_remedy_is_followed() {
    let world = World::new();
    for folder in ["epochs", "runs"] {
        let mut errors = 0;
        for damage in DAMAGES {
            let case = world.case();
            for file in files(&case, folder) {
                damage.apply(&file);
            }
            let whole = verify_state(&case);
            let without = folder == "epochs" && matches!(damage, Damage::Gone);
            assert!(whole.is_err() || without, "{folder}, {damage:?}: not found");
            let told = world.recovers(&format!("{folder}, {damage:?}"));
            // A block that nobody reads stays as it is until somebody does: rows are right all the same.
            errors += u32::from(told.is_some());
        }
        assert!(errors >= 5, "{folder}: {errors}");
    }
}

#[test]
fn a_damaged_artefact_is_made_anew_or_named() {
    let world = World::new();
    // The shard that was replaced cannot be read any more: what it gave can only be left behind.
    let mut errors = 0;
    for damage in DAMAGES {
        let case = world.case();
        for file in files(&case, "artefacts") {
            damage.apply(&file);
        }
        assert!(verify_state(&case).is_err(), "{damage:?}: not found");
        let told = world.recovers(&format!("artefacts, {damage:?}"));
        errors += u32::from(told.is_some());
    }
    assert!(errors >= 5, "{errors}");
    // Those of shards that are there are looked at before they are used, and made anew.
    for (point, times, sealed) in [("piece written", 2, 0), ("front done", 1, 2)] {
        for damage in DAMAGES {
            let case = world.case();
            let old = files(&case, "artefacts");
            let mut process = world.harness.process(&case, 1, &[]);
            stops_at(&mut process, point, times, None);
            let status = process.stdout(Stdio::null()).status().expect("a process");
            assert_eq!(status.signal(), Some(9), "{point}: {status}");
            let new: Vec<PathBuf> =
                files(&case, "artefacts").into_iter().filter(|file| !old.contains(file)).collect();
            // Pieces stay until the disk has the artefact, which nobody waits for here.
            let pieces = new.iter().filter(|file| file.to_string_lossy().contains(".pieces")).count();
            assert_eq!(new.len() - pieces, sealed, "{new:?}");
            assert!(pieces == 2 || sealed > 0, "{new:?}");
            new.iter().for_each(|file| damage.apply(file));
            let told = world.recovers(&format!("after {point}, {damage:?}"));
            assert_eq!(told, None, "it is made anew");
        }
    }
}

#[test]
fn a_state_that_is_deleted_costs_answers_and_no_rows() {
    let world = World::new();
    let case = world.case();
    let seen = bytes_of(&case.join("current"));
    fs::remove_dir_all(case.join("state")).expect("removed");
    assert_eq!(bytes_of(&case.join("current")), seen);
    let before = world.harness.server.bill().all();
    world.harness.run("case", 2, &[]).expect("a run");
    assert!(world.harness.server.bill().all() - before > world.asked, "answers are paid again");
    same(&published(&case), &world.whole, "the state was deleted");
    verify_state(&case).expect("built anew");
}

#[test]
fn a_damaged_journal_is_named_and_a_copy_of_it_costs_nothing() {
    let world = World::new();
    let journal = |case: &Path| case.join("state/journal.redb");
    let mut errors = 0;
    for damage in [Damage::Cut(1), Damage::Cut(4), Damage::Flip(0)] {
        let case = world.case();
        let seen = bytes_of(&case.join("current"));
        damage.apply(&journal(&case));
        let before = world.harness.server.bill().all();
        if let Err(error) = world.harness.run("case", 2, &[]) {
            assert!(matches!(error.kind().exit_code(), 3 | 5), "{error}");
            assert!(error.to_string().contains("remedy="), "{error}");
            assert_eq!(bytes_of(&case.join("current")), seen);
            assert_eq!(world.harness.server.bill().all(), before, "before anything is paid");
            fs::copy(journal(&world.harness.at("base")), journal(&case)).expect("a copy");
            world.harness.run("case", 1, &[]).expect("a run");
            assert_eq!(world.harness.server.bill().all() - before, world.asked);
            errors += 1;
        }
        same(&published(&case), &world.whole, "a damaged journal");
    }
    assert!(errors >= 2, "{errors}");
    // The log in front of it: what is no record does not count.
    let case = world.case();
    fs::write(case.join("state/journal.log-0"), [7; 100]).expect("written");
    assert_eq!(world.recovers("a torn log"), None);
}

#[test]
fn a_second_process_is_told_to_wait() {
    let world = World::new();
    let case = world.case();
    let (waiting, before) = (world.harness.at("waiting"), world.harness.server.bill().all());
    let mut process = world.harness.process(&case, 2, &[]);
    stops_at(&mut process, "front done", 1, Some(&waiting));
    let mut first = process.stdout(Stdio::null()).spawn().expect("a process");
    let start = Instant::now();
    while !waiting.exists() && start.elapsed() < Duration::from_mins(2) {
        assert!(first.try_wait().expect("a process").is_none(), "it waits");
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = world.harness.run("case", 1, &[]).expect_err("in use");
    let text = error.to_string();
    assert_eq!(error.kind().exit_code(), 5, "{text}");
    assert!(text.contains("in use") && text.contains("remedy=wait for it"), "{text}");
    first.kill().expect("killed");
    first.wait().expect("ended");
    // The lock went with its process.
    assert_eq!(world.recovers("after the first process"), None);
    assert_eq!(world.harness.server.bill().all() - before, world.asked);
}

/// Takes the permission to write from all below a folder, or gives it back.
fn let_write(folder: &Path, may: bool) {
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
    };
    mode(folder, 0o755);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            let_write(&path, may);
        } else {
            mode(&path, if may { 0o644 } else { 0o444 });
        }
    }
    mode(folder, if may { 0o755 } else { 0o555 });
}

#[test]
fn a_folder_that_must_not_be_written_is_named() {
    let world = World::new();
    for (part, whole) in
        [("", true), ("state/epochs", false), ("state/runs", false), ("state/artefacts", false)]
    {
        let case = world.case();
        let seen = bytes_of(&case.join("current"));
        let mut process = world.harness.process(&case, 2, &[]);
        fs::set_permissions(world.harness.at(""), Permissions::from_mode(0o755)).expect("permissions");
        // Permissions do not bind root, so its process becomes another user's.
        if fs::metadata(&case).expect("a folder").uid() == 0 {
            if !whole {
                let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(&case).status();
                assert!(owned.expect("chown").success());
            }
            process.uid(65534).gid(65534);
        }
        let_write(&case.join(part), false);
        let before = world.harness.server.bill().all();
        let Ok(done) = process.stdout(Stdio::null()).output() else {
            eprintln!("skipped: another user cannot start this test");
            let_write(&case, true);
            return;
        };
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        let_write(&case, true);
        assert_eq!(done.status.code(), Some(5), "{part}: {text}");
        assert!(text.contains("remedy=an output folder you may write to"), "{part}: {text}");
        assert_eq!(bytes_of(&case.join("current")), seen, "{part}");
        assert_eq!(world.harness.server.bill().all(), before, "{part}: told before anything is paid");
        world.harness.run("case", 2, &[]).expect("it may be written now");
        same(&published(&case), &world.whole, part);
    }
}

/// Runs a shell script with the folders of the case and what to run; gives code and output.
fn shell(process: &Command, script: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", script, "sh"]).args(arguments);
    shell.arg(process.get_program()).args(process.get_args());
    shell.envs(process.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = shell.output().expect("a shell");
    let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (done.status.code(), text)
}

#[test]
fn a_full_disk_loses_nothing() {
    let world = World::new();
    let disk = world.harness.at("disk");
    fs::create_dir(&disk).expect("a folder");
    let process = world.harness.process(&disk.join("case"), 2, &[]);
    let (code, text) = shell(&process, "mount -t tmpfs none \"$1\"", &[&disk]);
    if code != Some(0) {
        eprintln!("skipped: no file system of our own may be mounted here: {text}");
        return;
    }
    let mut errors = 0;
    for free_kib in [0, 64, 512, 2048] {
        let case = world.case();
        let before = world.harness.server.bill().all();
        let seen = bytes_of(&case.join("current"));
        // The disk is full but for so much, then the run, then there is room; what was there then is brought out.
        let script = format!(
            "disk=$1 case=$2; shift 2; mount -t tmpfs -o size=64m none \"$disk\" && cp -a \"$case\" \"$disk/case\" || exit 90
             head -c {} /dev/zero > \"$disk/free\"; cat /dev/zero > \"$disk/filler\" 2>/dev/null; rm \"$disk/free\"
             \"$@\"; code=$?; rm \"$disk/filler\"; rm -r \"$case\"; cp -a \"$disk/case\" \"$case\"; exit $code",
            free_kib * 1024
        );
        let (code, text) = shell(&process, &script, &[&disk, &case]);
        if code == Some(0) {
            continue;
        }
        errors += 1;
        assert_eq!(code, Some(5), "{free_kib} KiB free: {text}");
        assert!(text.contains("remedy="), "{free_kib} KiB free: {text}");
        assert_eq!(bytes_of(&case.join("current")), seen, "{free_kib} KiB free");
        world.harness.run("case", 2, &[]).expect("there is room now");
        same(&published(&case), &world.whole, "a full disk");
        let paid = world.harness.server.bill().all() - before;
        assert!(paid <= world.asked + IN_FLIGHT, "{free_kib} KiB free: {paid} of {}", world.asked);
    }
    assert!(errors >= 1, "{errors}");
}

#[test]
fn a_limit_of_file_sizes_is_told() {
    let world = World::new();
    let case = world.case();
    let process = world.harness.process(&case, 2, &[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8 || exit 90; exec \"$@\"", "sh"]);
    limited.arg(process.get_program()).args(process.get_args());
    limited.envs(process.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let seen = bytes_of(&case.join("current"));
    let done = limited.stdout(Stdio::null()).output().expect("a shell");
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(5), "{text}");
    assert!(text.contains("remedy=a greater limit of file sizes"), "{text}");
    assert_eq!(bytes_of(&case.join("current")), seen);
    assert_eq!(world.recovers("a limit of file sizes"), None);
}

#[test]
fn a_lost_process_ends_the_run_and_the_next_one_of_any_number_resumes() {
    let world = World::new();
    let case = world.case();
    let before = world.harness.server.bill().all();
    // Which of them writes the first piece is chance: if it leads, nobody is left to tell of it.
    let cases = [("piece written", Victim::Any)].into_iter();
    for (point, victim) in cases.chain(MEMBER_POINTS.map(|point| (point, Victim::Member))) {
        for (workers, processes) in [(1, 2), (2, 3)] {
            let told = format!("{point}, {processes} processes");
            let mut process = world.harness.process(&case, workers, &[]);
            leads(&mut process, processes, victim, None);
            stops_at(&mut process, point, 1, None);
            let output = process.output().expect("a process");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if victim == Victim::Any && output.status.signal() == Some(9) {
                continue;
            }
            assert_eq!(output.status.code(), Some(5), "{told}: {said}");
            assert!(
                said.contains("process lost: process=") && said.contains("remedy=run the same command"),
                "{told}: {said}"
            );
        }
    }
    let mut process = world.harness.process(&case, 1, &[]);
    leads(&mut process, 3, Victim::Leader, None);
    let output = process.output().expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    same(&published(&case), &world.whole, "after a lost process");
    assert_eq!(world.harness.server.bill().all() - before, world.asked, "answers paid");
    verify_state(&case).expect("whole");
}
