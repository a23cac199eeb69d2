use super::merge::Merge;
use super::run::{Run, RunWriter};
use super::sorter::{Scratch, Sorter};
use super::table::View;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

type Rows = BTreeMap<Vec<u8>, i32>;

fn all(view: &View) -> Vec<(Vec<u8>, i32)> {
    let mut merge = view.scan(&[]).expect("readable");
    let mut rows = Vec::new();
    while merge.next().expect("readable") {
        rows.push((merge.key().to_vec(), merge.count()));
    }
    rows
}

fn sums(runs: &[Rows]) -> Rows {
    let mut sums = Rows::new();
    for (key, count) in runs.iter().flatten() {
        *sums.entry(key.clone()).or_default() += count;
    }
    sums.retain(|_, count| *count != 0);
    sums
}

fn written(folder: &std::path::Path, number: usize, rows: &Rows, repeat: usize) -> Arc<Run> {
    let mut writer = RunWriter::new(8 + 6 * repeat, folder.join(format!("{number}.run")));
    for (key, count) in rows {
        let key = [key.as_slice(), &vec![7; 6 * repeat]].concat();
        writer.push(&key, *count).expect("written");
    }
    Arc::new(writer.finish().expect("written").0)
}

fn rows() -> impl Strategy<Value = Rows> {
    let key = prop::collection::vec(0..4u8, 8);
    prop::collection::btree_map(key, prop_oneof![Just(-1), 1..3i32], 0..60)
}

proptest! {
    #[test]
    fn a_table_is_the_sum_of_its_runs(
        runs in prop::collection::vec(rows(), 0..6),
        repeat in prop_oneof![Just(0usize), Just(60), Just(700)],
        probe in prop::collection::vec(0..4u8, 0..8),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let view = View::new(runs.iter().enumerate().map(|(at, rows)| written(folder.path(), at, rows, repeat)).collect());
        let wide = |key: &[u8]| [key, &vec![7; 6 * repeat]].concat();
        let expected: Vec<(Vec<u8>, i32)> = sums(&runs).into_iter().map(|(key, count)| (wide(&key), count)).collect();
        prop_assert_eq!(&all(&view), &expected);
        for run in view.runs() {
            run.verify().expect("whole");
        }
        let mut finder = view.finder().expect("readable");
        // Twice, so that what the first search holds is used.
        for _ in 0..2 {
            let mut found = Vec::new();
            finder.find(&probe, |key, count| found.push((key.to_vec(), count))).expect("readable");
            let wanted: Vec<_> = expected.iter().filter(|(key, _)| key.starts_with(&probe)).cloned().collect();
            prop_assert_eq!(finder.first(&probe).expect("readable"), wanted.first().map(|(key, _)| key.as_slice()));
            prop_assert_eq!(found, wanted);
        }
        let mut back = view.scan_back(&probe).expect("readable");
        let mut below = Vec::new();
        while back.next().expect("readable") {
            below.push(back.key().to_vec());
        }
        let wanted: Vec<_> = expected.iter().rev().map(|(key, _)| key.clone()).filter(|key| *key <= probe).collect();
        prop_assert_eq!(below, wanted);
    }

    #[test]
    fn a_sorter_sorts_and_adds_up(pushed in prop::collection::vec((prop::collection::vec(0..3u8, 5), -2..3i32), 0..900)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sorter = Sorter::new("test", 5, 0, &Scratch::new(folder.path(), "w"));
        let mut sums = Rows::new();
        for (key, count) in &pushed {
            sorter.push(key, *count).expect("pushed");
            *sums.entry(key.clone()).or_default() += count;
        }
        sums.retain(|_, count| *count != 0);
        let sorted = sorter.finish().expect("sorted");
        let mut merge = sorted.read().expect("readable");
        let mut rows = Rows::new();
        while merge.next().expect("readable") {
            prop_assert!(rows.insert(merge.key().to_vec(), merge.count()).is_none());
        }
        drop(merge);
        prop_assert_eq!(&rows, &sums);
        let (run, _) = sorted.into_run(folder.path().join("whole.run")).expect("written");
        prop_assert_eq!(all(&View::new(vec![Arc::new(run)])).into_iter().collect::<Rows>(), sums);
    }
}

#[test]
fn large_runs_lie_in_files_and_a_flipped_byte_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.run");
    let mut writer = RunWriter::new(8, path.clone());
    for i in 0..400_000u64 {
        writer.push(&(i * 3).to_be_bytes(), 1).expect("written");
    }
    let (run, meta) = writer.finish().expect("written");
    let meta = meta.expect("in a file");
    assert_eq!(std::fs::metadata(&path).expect("there").len(), meta.bytes());
    drop(run);
    let open = || Run::open(folder.path(), &meta).map(Arc::new);
    let run = open().expect("whole");
    run.verify().expect("whole");
    let mut merge = Merge::new(&[Arc::clone(&run)], &600_001u64.to_be_bytes(), 1).expect("readable");
    assert!(merge.next().expect("readable"));
    assert_eq!(merge.key(), 600_003u64.to_be_bytes());
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("there");
    for (at, where_found) in [(123_457, "block"), (meta.bytes() - 5, "index")] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read");
        file.write_all_at(&[byte[0] ^ 4], at).expect("written");
        let told = open().and_then(|run| run.verify()).expect_err("altered").to_string();
        assert!(told.contains(where_found) && told.contains("remedy="), "{told}");
        file.write_all_at(&byte, at).expect("written");
        open().and_then(|run| run.verify()).expect("whole again");
    }
    file.set_len(meta.bytes() - 1).expect("cut");
    assert!(open().expect_err("torn").to_string().contains("too short"));
    std::fs::remove_file(&path).expect("removed");
    assert!(open().expect_err("away").to_string().contains("missing"));
}

/// Runs of these many rows, one behind the other: keys of `width` bytes ascend from run to run.
fn consecutive(folder: &std::path::Path, lengths: &[u32], width: usize) -> Vec<Arc<Run>> {
    let mut next = 0..;
    let run = |(number, length): (usize, &u32)| {
        let mut writer = RunWriter::new(width, folder.join(format!("{number}.run")));
        for at in next.by_ref().take(*length as usize) {
            writer.push(&key_of(at, width), count_of(at)).expect("written");
        }
        Arc::new(writer.finish().expect("written").0)
    };
    lengths.iter().enumerate().map(run).collect()
}

fn key_of(at: u32, width: usize) -> Vec<u8> {
    let mut key = at.to_be_bytes().to_vec();
    key.resize(width, 7);
    key
}

fn count_of(at: u32) -> i32 {
    if at.is_multiple_of(3) { -1 } else { 2 }
}

#[test]
fn runs_behind_each_other_become_the_run_of_all_their_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    // Less than a block, blocks that are not full, rows wider than a block, and more than is read at a time.
    for (lengths, width) in [
        (vec![0, 1, 5, 9, 0, 10, 700], 416),
        (vec![3, 2], 5_000),
        (vec![2_000, 1, 4_999, 3_000], 416),
        (vec![300_000, 7, 200_000], 14),
    ] {
        let runs = consecutive(folder.path(), &lengths, width);
        let mut all = RunWriter::new(width, folder.path().join("all.run"));
        runs.iter().try_for_each(|run| all.append(run)).expect("written");
        let mut plain = RunWriter::new(width, folder.path().join("plain.run"));
        for at in 0..lengths.iter().sum() {
            plain.push(&key_of(at, width), count_of(at)).expect("written");
        }
        let (all, plain) = (all.finish().expect("written"), plain.finish().expect("written"));
        assert_eq!(all.1.is_some(), plain.1.is_some(), "in memory or in a file: {lengths:?}");
        assert_eq!(all.0.packed(), plain.0.packed(), "{lengths:?}");
        if let (Some(all), Some(plain)) = (all.1, plain.1) {
            assert_eq!((all.rows, all.check), (plain.rows, plain.check), "{lengths:?}");
            let bytes = |name: &str| std::fs::read(folder.path().join(name)).expect("there");
            assert!(bytes(&all.file) == bytes(&plain.file), "{lengths:?}");
        }
    }
}
