//! The crash harness: shards come, change and go, settings change, and processes are killed with SIGKILL at every named
//! point of a commit and at random moments. After each step what stands is what a run from scratch makes of it, and no
//! answer was paid twice but those that were in flight.
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads its orders from the environment, and has patience"
)]

#[path = "support/harness.rs"]
mod harness;

use harness::{Harness, IN_FLIGHT, Victim, corpora, leads, stops_at};
use isogloss::points::{MEMBER_POINTS, POINTS};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;
/// The exit code of what is away: a process of the run, here.
const LOST: i32 = 5;

#[test]
#[ignore = "the process that the other tests start and kill"]
fn process() {
    harness::obey();
}

#[test]
fn twenty_kills_leave_what_a_run_from_scratch_gives() {
    crash(20, 1);
}

#[test]
#[ignore = "takes minutes: ISOGLOSS_KILLS=200 ISOGLOSS_SEED=1 cargo test --test crashes many -- --ignored --nocapture"]
fn many_kills_leave_what_a_run_from_scratch_gives() {
    let number = |name: &str| -> Option<u32> { std::env::var(name).ok()?.parse().ok() };
    crash(number("ISOGLOSS_KILLS").unwrap_or(200), number("ISOGLOSS_SEED").unwrap_or(1).into());
}

/// When a process dies.
#[derive(Debug, Clone, Copy)]
enum Kill {
    At(&'static str, u32),
    After(Duration),
}

/// Settings that take turns.
const SETTINGS: [&[&str]; 6] = [
    &["audit=all"],
    &["select.threshold.target_rate=0.8"],
    &["sample.per_lang=9"],
    &["dedup.least_resemblance=0.5"],
    &["select.quota.target_rate=0.6", "sample.langs.por_Latn=5"],
    &[],
];

/// Points before this one are reached only where there is something to read.
const FRONT_DONE: usize = 2;

struct Script {
    harness: Harness,
    draw: Draw,
    pool: Vec<PathBuf>,
    /// The shard under each name.
    shards: BTreeMap<usize, usize>,
    next: usize,
    sets: Vec<&'static str>,
}

impl Script {
    /// Carries out the next change; tells what it was, and how many shards are to be read.
    fn change(&mut self, step: u64) -> (&'static str, u32) {
        let many = self.shards.len();
        let some = |draw: &mut Draw, shards: &BTreeMap<usize, usize>| {
            *shards.keys().nth(draw.below(many)).expect("not empty")
        };
        match step % 5 {
            0 if step == 0 => {
                (0..4).for_each(|_| self.add());
                ("the first load", 4)
            }
            0 if many > 3 => {
                let name = some(&mut self.draw, &self.shards);
                self.shards.remove(&name);
                self.remove(name);
                self.add();
                ("one removed, one added", 1)
            }
            1 | 0 => {
                (0..2).for_each(|_| self.add());
                ("two added", 2)
            }
            2 => {
                let name = some(&mut self.draw, &self.shards);
                self.put(name);
                ("one replaced", 1)
            }
            3 => {
                self.sets = SETTINGS[usize::try_from(step / 5).expect("few") % SETTINGS.len()].to_vec();
                ("other settings", 0)
            }
            _ => {
                let name = some(&mut self.draw, &self.shards);
                self.shards.remove(&name);
                self.remove(name);
                ("one removed", 0)
            }
        }
    }

    fn remove(&self, name: usize) {
        let shard = self.harness.at("shards").join(format!("{name:02}.parquet"));
        std::fs::remove_file(shard).expect("removed");
    }

    fn add(&mut self) {
        let mut name = self.draw.below(90);
        while self.shards.contains_key(&name) {
            name = (name + 1) % 90;
        }
        self.put(name);
    }

    fn put(&mut self, name: usize) {
        let shard = self.next % self.pool.len();
        self.next += 1;
        self.harness.put(&format!("{name:02}.parquet"), Some(&self.pool[shard]));
        self.shards.insert(name, shard);
    }

    /// Kills for one step, in the order of a run: all points, or some of them, and moments between them.
    fn kills(&mut self, all: bool, unread: u32, usual: Duration) -> Vec<Kill> {
        let mut kills = Vec::new();
        let first = if unread > 0 { 0 } else { FRONT_DONE };
        let [joined, shared] = MEMBER_POINTS;
        if all || self.draw.below(6) == 0 {
            kills.push(Kill::At(joined, 1));
        }
        for (at, point) in POINTS.into_iter().enumerate().skip(first) {
            if !all && self.draw.below(3) == 0 {
                continue;
            }
            if !all && at >= FRONT_DONE && self.draw.below(4) == 0 {
                let millis = self.draw.below(usize::try_from(usual.as_millis()).expect("short") + 1);
                kills.push(Kill::After(Duration::from_millis(millis as u64)));
            }
            let more = if at == 0 && unread > 2 { self.draw.below(2) } else { 0 };
            kills.push(Kill::At(point, 1 + u32::try_from(more).expect("few")));
            if at == FRONT_DONE && (all || self.draw.below(6) == 0) {
                kills.push(Kill::At(shared, 1));
            }
        }
        kills
    }

    /// Who of several processes is killed, and where.
    fn victim(&mut self, kill: Kill, processes: usize) -> (Victim, Kill, Option<Duration>) {
        match kill {
            Kill::After(moment) if processes > 1 && self.draw.below(2) == 0 => {
                (Victim::Member, kill, Some(moment))
            }
            Kill::After(moment) => (Victim::Leader, kill, Some(moment)),
            // Which of them reads a row group is chance; that one of them reads the first is not.
            Kill::At(point, _) if processes > 1 && point == POINTS[0] => {
                (Victim::Any, Kill::At(point, 1), None)
            }
            Kill::At(point, _) if MEMBER_POINTS.contains(&point) => (Victim::Member, kill, None),
            Kill::At(..) => (Victim::Leader, kill, None),
        }
    }
}

/// Numbers from a seed: splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % most as u64).expect("below")
    }
}

/// Waits until a process ends; with a moment, kills it then.
fn ended(mut child: Child, moment: Option<Duration>) -> ExitStatus {
    if let Some(moment) = moment {
        std::thread::sleep(moment);
        let _ = child.kill();
    }
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a process") {
            return status;
        }
        if start.elapsed() > Duration::from_mins(5) {
            child.kill().expect("killed");
            panic!("a process does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn crash(wanted: u32, seed: u64) {
    let (start, mut kills, mut hit) = (Instant::now(), 0, BTreeMap::<&str, u32>::new());
    let mut usual = Duration::from_secs(2);
    let mut script = Script {
        harness: Harness::new(Duration::from_millis(2)),
        draw: Draw(seed),
        pool: corpora(),
        shards: BTreeMap::new(),
        next: 0,
        sets: Vec::new(),
    };
    eprintln!("kills={wanted}, seed={seed}");
    let mut step = 0;
    while kills < wanted || step < 4 {
        let (what, unread) = script.change(step);
        let plan = script.kills(step == 0, unread, usual);
        let sets: Vec<&str> = script.sets.iter().copied().chain(["state.sort_bytes=65536"]).collect();
        let (before, mut moments, mut complete) = (script.harness.server.bill().again(), 0, false);
        for kill in plan {
            if kills >= wanted {
                break;
            }
            let (workers, mut processes) = (1 + script.draw.below(3), 1 + script.draw.below(3));
            if matches!(kill, Kill::At(point, _) if MEMBER_POINTS.contains(&point)) {
                processes = processes.max(2);
            }
            let mut process = script.harness.process(&script.harness.at("out"), workers, &sets);
            process.stdout(std::process::Stdio::null());
            let (victim, kill, moment) = script.victim(kill, processes);
            leads(&mut process, processes, victim, moment);
            if let Kill::At(point, times) = kill {
                stops_at(&mut process, point, times, None);
            }
            let child = process.spawn().expect("a process");
            let status = ended(child, moment.filter(|_| victim == Victim::Leader));
            if status.success() {
                eprintln!("step {step}, {what}: complete before {kill:?}");
                complete = true;
                break;
            }
            // Who loses a process ends by itself.
            let (killed, lost) = (status.signal() == Some(SIGKILL), status.code() == Some(LOST));
            let ended = match victim {
                Victim::Leader => killed,
                Victim::Member => lost,
                Victim::Any => killed || lost,
            };
            assert!(ended, "step {step}, {what}, {victim:?}, {kill:?}: {status}");
            kills += 1;
            moments += u32::from(moment.is_some());
            if let Kill::At(point, _) = kill {
                *hit.entry(point).or_default() += 1;
            }
            eprintln!(
                "kill {kills}: step {step}, {what}, workers={workers}, processes={processes}, victim={victim:?}, {kill:?}"
            );
        }
        let last = Instant::now();
        let mut process = script.harness.process(&script.harness.at("out"), 2, &sets);
        let status = ended(process.stdout(std::process::Stdio::null()).spawn().expect("a process"), None);
        assert!(status.success(), "step {step}, {what}: {status}");
        if !complete {
            usual = usual.min(last.elapsed().max(Duration::from_millis(300)));
        }
        let again = script.harness.server.bill().again() - before;
        let told = format!("step {step}, {what}, seed={seed}");
        assert!(
            again <= moments * IN_FLIGHT,
            "{again} answers were paid twice, random kills={moments}: {told}"
        );
        script.harness.is_as_from_scratch("out", &script.sets, &told);
        step += 1;
    }
    assert!(POINTS.iter().chain(&MEMBER_POINTS).all(|point| hit.contains_key(point)), "each point: {hit:?}");
    let bill = script.harness.server.bill();
    eprintln!(
        "kills={kills}, steps={step}, seconds={:.0}, answers={}, paid twice={}, {hit:?}",
        start.elapsed().as_secs_f64(),
        bill.all(),
        bill.again()
    );
}
