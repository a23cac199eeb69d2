//! `isogloss dedup` against brute force: sets of windows, every pair, union-find. Nothing of the stages is used here.

#![expect(clippy::disallowed_methods, reason = "a test tells a process what to do")]
#![expect(clippy::unwrap_used, reason = "a test that finds its own data broken should panic")]

#[path = "dedup/made.rs"]
mod made;

use isogloss::config::{Mode, StateSettings};
use isogloss::dedup::{Outcome, Settings, dedup};
use isogloss::points;
use isogloss::stop::Stop;
use made::{Document, documents, listed, shard_of, write};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn run(input: &Path, output: &Path, workers: usize, rows: bool) -> Outcome {
    run_with(input, output, workers, rows, Mode::Durable)
}

/// Everything is read, and nothing is known of the run before.
fn scratch(input: &Path, output: &Path) -> Outcome {
    run_with(input, output, 1, true, Mode::Memory)
}

fn run_with(input: &Path, output: &Path, workers: usize, rows: bool, mode: Mode) -> Outcome {
    let settings = Settings {
        // Little enough to be sorted on disk.
        state: StateSettings { mode, sort_bytes: 1 << 16 },
        input: vec![input.display().to_string()],
        output: output.to_path_buf(),
        workers,
        rows,
        ..Settings::default()
    };
    dedup(settings, &Stop::default()).unwrap()
}

fn top(parents: &[usize], mut at: usize) -> usize {
    while parents[at] != at {
        at = parents[at];
    }
    at
}

/// Clusters by every pair: the numbers of the documents of each cluster of two or more.
fn clusters(documents: &[Document]) -> BTreeSet<Vec<usize>> {
    let sets: Vec<BTreeSet<Vec<String>>> = documents.iter().map(Document::windows).collect();
    let mut parents: Vec<usize> = (0..documents.len()).collect();
    for b in 0..sets.len() {
        for a in 0..b {
            let shared = sets[a].intersection(&sets[b]).count() as f64;
            let jaccard = shared / sets[a].union(&sets[b]).count() as f64;
            assert!(!(0.6..0.84).contains(&jaccard), "no pair of these is open to doubt: {jaccard}");
            if jaccard >= 0.84 {
                let (a, b) = (top(&parents, a), top(&parents, b));
                parents[a.max(b)] = a.min(b);
            }
        }
    }
    let mut of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..sets.len() {
        of.entry(top(&parents, at)).or_default().push(at);
    }
    of.into_values().filter(|members| members.len() > 1).collect()
}

#[test]
fn the_lists_are_those_of_brute_force_in_every_script() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(11, 160);
    let input = folder.path().join("in");
    write(&input, &documents, 3);
    let output = folder.path().join("out");
    let outcome = run(&input, &output, 2, false);
    let wanted = clusters(&documents);
    assert!(wanted.len() > 20, "{}", wanted.len());
    assert!(
        made::SCRIPTS.iter().all(|script| wanted.iter().any(|of| documents[of[0]].script == *script)),
        "every script has clusters"
    );

    let number: BTreeMap<String, usize> =
        documents.iter().enumerate().map(|(at, document)| (document.id.clone(), at)).collect();
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut survivors = BTreeSet::new();
    for row in listed(&output.join("clusters.parquet")) {
        let at = number[&row["id"]];
        assert!(row["shard"].ends_with(&shard_of(at, 160, 3)), "{}", row["shard"]);
        assert_eq!(row["row"], (at % 160_usize.div_ceil(3)).to_string());
        found.entry(row["cluster"].clone()).or_default().push(at);
        if row["survivor"] == "true" {
            survivors.insert(at);
        }
    }
    for row in listed(&output.join("clusters.parquet")) {
        assert_eq!(row["size"], found[&row["cluster"]].len().to_string());
    }
    let found: BTreeSet<Vec<usize>> = found
        .into_values()
        .map(|mut of| {
            of.sort_unstable();
            of
        })
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(survivors, wanted.iter().map(|of| of[0]).collect(), "the least place survives");

    let gone: BTreeSet<usize> = wanted.iter().flat_map(|of| &of[1..]).copied().collect();
    let kept: Vec<usize> =
        listed(&output.join("kept.parquet")).iter().map(|row| number[&row["id"]]).collect();
    let stay: Vec<usize> = (0..documents.len()).filter(|at| !gone.contains(at)).collect();
    assert_eq!(kept, stay, "in the order of (shard, row)");
    let counts = outcome.list.counts;
    assert_eq!((counts.kept, counts.exact + counts.near), (stay.len() as u64, gone.len() as u64));
    assert!(counts.exact > 5 && counts.near > 5 && counts.clusters == wanted.len() as u64, "{counts}");

    // Pairs join every cluster and nothing else, and their estimates are near the truth.
    let mut joined: Vec<BTreeSet<usize>> = Vec::new();
    for row in listed(&output.join("pairs.parquet")) {
        let (one, other) = (number[&row["id"]], number[&row["other_id"]]);
        assert!(one < other, "the lesser place comes first");
        let (a, b) = (documents[one].windows(), documents[other].windows());
        let jaccard = a.intersection(&b).count() as f64 / a.union(&b).count() as f64;
        let estimate: f64 = row["jaccard"].parse().unwrap();
        assert!((estimate - jaccard).abs() < 0.1, "{estimate} {jaccard}");
        let (with, mut others): (Vec<_>, Vec<_>) =
            joined.into_iter().partition(|of| of.contains(&one) || of.contains(&other));
        others.push(with.into_iter().flatten().chain([one, other]).collect());
        joined = others;
    }
    assert_eq!(joined.into_iter().map(|of| of.into_iter().collect()).collect::<BTreeSet<Vec<_>>>(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn the_lists_do_not_depend_on_the_number_of_workers(seed in any::<u64>(), rows in 20..90usize, parts in 1..4usize) {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in");
        write(&input, &documents(seed, rows), parts);
        let bytes = |workers: usize| {
            let output = folder.path().join(workers.to_string());
            run(&input, &output, workers, true);
            let mut files: Vec<_> = fs::read_dir(output.join("rows")).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            files.extend(["kept.parquet", "clusters.parquet", "pairs.parquet", "manifest.json"].map(|name| output.join(name)));
            files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
        };
        let one = bytes(1);
        prop_assert!(one == bytes(2), "2 workers");
        prop_assert!(one == bytes(3), "3 workers");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]
    /// Shards come, are replaced and go; one may stand twice, under two names.
    #[test]
    fn a_delta_leaves_the_lists_of_a_run_from_scratch(
        seed in any::<u64>(),
        steps in prop::collection::vec((prop::collection::vec((0..6usize, 0..12usize), 1..4), 1..4usize), 3..7),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (pool, input) = (folder.path().join("pool"), folder.path().join("in"));
        write(&pool, &documents(seed, 240), 8);
        fs::create_dir_all(&input).unwrap();
        let mut lies: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, (changes, workers)) in steps.into_iter().enumerate() {
            let before = lies.clone();
            for (slot, part) in changes {
                let path = input.join(format!("{slot}.parquet"));
                if part < 8 {
                    fs::copy(pool.join(format!("{part}.parquet")), path).unwrap();
                    lies.insert(slot, part);
                } else if lies.len() > 1 && lies.remove(&slot).is_some() {
                    fs::remove_file(path).unwrap();
                }
            }
            if lies.is_empty() {
                continue;
            }
            let outcome = run(&input, &folder.path().join("out"), workers, true);
            let fresh = scratch(&input, &folder.path().join(format!("scratch-{at}")));
            prop_assert_eq!(outcome.list.digest, fresh.list.digest, "step {}", at);
            prop_assert_eq!(&outcome.list.counts, &fresh.list.counts);
            // What stands as it was is not read again.
            let groups = |(slot, _): (&usize, &usize)| made::row_groups(&input.join(format!("{slot}.parquet")));
            let new = lies.iter().filter(|(slot, part)| before.get(slot) != Some(part)).map(groups).sum::<usize>();
            prop_assert_eq!((outcome.row_groups_read, outcome.ran), (new, lies != before));
            prop_assert_eq!(fresh.row_groups_read, lies.iter().map(groups).sum::<usize>());
        }
    }
}

#[test]
fn another_setting_costs_what_it_must_and_a_state_that_is_gone_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    write(&input, &documents(21, 160), 4);
    let groups = |numbers: std::ops::Range<usize>| -> usize {
        numbers.map(|at| made::row_groups(&input.join(format!("{at}.parquet")))).sum()
    };
    let all = groups(0..4);
    assert_eq!(run(&input, &output, 2, true).row_groups_read, all);
    let with = |set: &str| {
        let sets = [set.to_owned(), "state.sort_bytes=65536".to_owned()];
        let settings = Settings {
            input: vec![input.display().to_string()],
            output: output.clone(),
            rows: true,
            ..Settings::parse(&sets).unwrap()
        };
        dedup(settings, &Stop::default()).unwrap()
    };
    // Another threshold reads nothing; another shape of signatures reads everything.
    let loose = with("dedup.least_resemblance=0.9");
    assert_eq!((loose.ran, loose.row_groups_read), (true, 0));
    assert_eq!(with("sign.bands=18").row_groups_read, all);
    let back = run(&input, &output, 1, true);
    assert_eq!(back.list.digest, scratch(&input, &folder.path().join("scratch")).list.digest);
    assert_ne!(back.list.digest, loose.list.digest, "the threshold matters");

    fs::remove_dir_all(output.join("state")).unwrap();
    assert!(!run(&input, &output, 1, true).ran, "the lists stand");
    fs::remove_file(input.join("0.parquet")).unwrap();
    let anew = run(&input, &output, 2, true);
    assert_eq!(anew.row_groups_read, groups(1..4));
    assert_eq!(anew.list.digest, scratch(&input, &folder.path().join("scratch")).list.digest);
}

/// Shards, output, and `POINT:TIMES`, where the process dies.
const ORDER: &str = "ISOGLOSS_TEST_DEDUP";

#[test]
#[ignore = "the process that another test starts"]
fn process() {
    let Ok(order) = std::env::var(ORDER) else {
        eprintln!("skipped: another test starts this one");
        return;
    };
    let parts: Vec<&str> = order.lines().collect();
    let [input, output, point, times] = parts[..] else { panic!("{order}") };
    let (point, seen) = (point.to_owned(), AtomicUsize::new(1));
    let times: usize = times.parse().unwrap();
    points::watch(move |reached| {
        if reached == point && seen.fetch_add(1, Ordering::SeqCst) == times {
            // Nothing is tidied up.
            std::process::abort();
        }
    });
    run(Path::new(input), Path::new(output), 2, true);
}

#[test]
fn a_run_that_dies_anywhere_leaves_what_the_next_one_goes_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, input, output) =
        (folder.path().join("pool"), folder.path().join("in"), folder.path().join("out"));
    write(&pool, &documents(31, 200), 6);
    fs::create_dir_all(&input).unwrap();
    let dies = |point: &str, times: usize| {
        let order = format!("{}\n{}\n{point}\n{times}", input.display(), output.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process", "--ignored"]).env(ORDER, order);
        let ended = command.output().unwrap();
        assert!(!ended.status.success(), "{point} was never reached");
    };
    let points = [
        ("piece written", 3),
        ("artefact sealed", 1),
        ("rows decided", 1),
        ("runs written", 1),
        ("state written", 1),
        ("snapshot staged", 1),
        ("snapshot named", 1),
        ("snapshot switched", 1),
    ];
    for (at, (point, times)) in points.into_iter().enumerate() {
        // A shard comes, or is replaced, each time.
        let from = pool.join(format!("{}.parquet", at % 6));
        let to = input.join(format!("{}.parquet", at % 5));
        fs::copy(&from, &to).unwrap();
        let new = made::row_groups(&to);
        dies(point, times);
        let left = made::left(&output);
        let outcome = run(&input, &output, 1, true);
        let fresh = scratch(&input, &folder.path().join(format!("scratch-{at}")));
        assert_eq!(
            (outcome.list.digest, &outcome.list.counts),
            (fresh.list.digest, &fresh.list.counts),
            "{point}"
        );
        match point {
            "piece written" => {
                assert!(left >= times && outcome.row_groups_read == new - left, "{left} of {new}");
            }
            _ => assert_eq!(outcome.row_groups_read, 0, "{point}: what was read is not read again"),
        }
        assert_eq!(outcome.ran, point != "snapshot switched", "{point}");
    }
}

#[test]
fn bad_rows_are_counted_and_stand_on_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("odd.parquet");
    // Rows: text, null, not UTF-8, a copy of the first.
    made::odd(&input);
    let outcome = run(&input, &folder.path().join("out"), 2, true);
    let counts = outcome.list.counts;
    assert_eq!((counts.rows, counts.kept, counts.exact, counts.near), (4, 1, 1, 0));
    assert_eq!(counts.faulted, BTreeMap::from([("null_text".to_owned(), 1), ("not_utf8".to_owned(), 1)]));
    // The shard has no ids: they come from shard and row, and differ.
    assert_eq!(counts.derived_ids, 2);
    let members = listed(&folder.path().join("out/clusters.parquet"));
    assert_eq!(members.iter().map(|row| row["row"].as_str()).collect::<Vec<_>>(), ["0", "3"]);
    assert!(members.iter().all(|row| row["id"].len() == 32) && members[0]["id"] != members[1]["id"]);
    assert_eq!(members[0]["cluster"], members[0]["id"], "a cluster is called after its survivor");
    let pairs = listed(&folder.path().join("out/pairs.parquet"));
    assert_eq!((pairs.len(), pairs[0]["jaccard"].as_str()), (1, "1.0"));
}

#[test]
fn kept_rows_have_the_shape_of_their_shard() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let documents = documents(5, 60);
    write(&input, &documents, 2);
    run(&input, &output, 2, true);
    let kept: Vec<String> =
        listed(&output.join("kept.parquet")).into_iter().map(|mut row| row.remove("id").unwrap()).collect();
    let mut files: Vec<_> =
        fs::read_dir(output.join("rows")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut ids = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let shard = input.join(format!("{at}.parquet"));
        assert_eq!(made::shape(file), made::shape(&shard), "arrow schema, Parquet schema, facts");
        let whole: BTreeMap<String, BTreeMap<String, String>> =
            listed(&shard).into_iter().map(|row| (row["id"].clone(), row)).collect();
        for row in listed(file) {
            assert_eq!(row, whole[&row["id"]], "every column as it was");
            ids.push(row["id"].clone());
        }
    }
    assert_eq!(ids, kept);
}

#[test]
fn nothing_new_is_no_work_and_every_change_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let made = documents(9, 80);
    write(&input, &made, 4);
    assert!(run(&input, &output, 2, false).ran);
    let target = fs::read_link(output.join("current")).unwrap();
    let again = run(&input, &output, 1, false);
    assert!(!again.ran && again.delta.is_empty(), "workers are no setting that matters");
    assert_eq!(fs::read_link(output.join("current")).unwrap(), target);

    // Touched, the same bytes: read for its digest, no more.
    let bytes = fs::read(input.join("0.parquet")).unwrap();
    fs::write(input.join("0.parquet"), bytes).unwrap();
    assert!(!run(&input, &output, 2, false).ran);

    // A shard goes: what is left is what a run from scratch gives.
    fs::remove_file(input.join("1.parquet")).unwrap();
    let less = run(&input, &output, 2, false);
    assert_eq!((less.ran, less.delta.removed.len()), (true, 1));
    let scratch = run(&input, &folder.path().join("scratch"), 2, false);
    assert_eq!((less.list.digest, &less.list.counts), (scratch.list.digest, &scratch.list.counts));

    // A list that was deleted is made again; rows appear when they are wanted and go with the wish.
    fs::remove_file(output.join("current/pairs.parquet")).unwrap();
    assert!(run(&input, &output, 2, false).ran);
    assert!(run(&input, &output, 2, true).ran && output.join("rows").is_dir());
    assert!(run(&input, &output, 2, false).ran && !output.join("rows").exists());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    write(&input, &documents(2, 12), 1);
    fs::create_dir_all(output.join("current")).unwrap();
    fs::write(output.join("current/manifest.json"), "{\"format\":1}").unwrap();
    let settings = || Settings {
        input: vec![input.display().to_string()],
        output: output.clone(),
        ..Settings::default()
    };
    let told = dedup(settings(), &Stop::default()).unwrap_err();
    assert!(told.to_string().contains("remedy="), "{told}");
    fs::remove_dir_all(&output).unwrap();
    fs::create_dir_all(&output).unwrap();
    fs::write(output.join("kept.parquet"), "mine").unwrap();
    let told = dedup(settings(), &Stop::default()).unwrap_err();
    assert!(told.to_string().contains("no link of ours"), "{told}");
    assert_eq!(fs::read(output.join("kept.parquet")).unwrap(), b"mine");
}
