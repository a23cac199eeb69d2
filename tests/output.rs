//! The output side as a whole: bundles in, a snapshot out; read back, verified, and by the libraries people use.

#[path = "output/made.rs"]
mod made;
#[path = "output/readers.rs"]
mod readers;
#[path = "output/tampering.rs"]
mod tampering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use isogloss::config::Audit;
use isogloss::model::{Exchange, Lang, Note, Place, Reason, Ruling, Stage, Verdict};
use isogloss::sink::verify::verify;
use isogloss::sink::{Manifest, Output};
use isogloss::telemetry::Tally;
use made::{Dice, Made, ONE, Way, lang, made, manifest_of, published, ran};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const KEYS: [&str; 4] =
    ["in/b/000_00000.parquet", "in/a/000_00000.parquet", "in/c.parquet", "in/../in/d \u{202e}'\"\n|.parquet"];

/// Every file under a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![fs::canonicalize(folder).expect("there")];
    let root = todo[0].clone();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let bytes = fs::read(&path).expect("readable");
                found.insert(path.strip_prefix(&root).expect("below").to_owned(), bytes);
            }
        }
    }
    found
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("there")).expect("Parquet");
    builder.build().expect("a reader").map(|batch| batch.expect("decoded")).collect()
}

/// What must stand in the output, by lang, in order: computed from what went in, by plain sorting.
fn wanted(made: &Made) -> BTreeMap<Lang, Vec<(String, Exchange)>> {
    let mut wanted: BTreeMap<Lang, Vec<(String, Exchange)>> = BTreeMap::new();
    for (shard, rows) in made.shards.iter().zip(&made.rows) {
        for row in rows.iter().filter(|row| row.outcome.is_none()) {
            wanted.entry(row.lang).or_default().push((shard.key.clone(), row.clone()));
        }
    }
    for rows in wanted.values_mut() {
        rows.sort_by(|a, b| (&a.0, a.1.place.row, &a.1.spans).cmp(&(&b.0, b.1.place.row, &b.1.spans)));
    }
    wanted
}

#[test]
fn what_went_in_is_what_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &KEYS, 300);
    let out = folder.path().join("out");
    let (manifest, _) = published(&out, &made, Way { workers: 2, bundle: 7, seed: 1 });
    for (lang, rows) in wanted(&made) {
        let parts = manifest.parts.iter().filter(|part| part.lang == lang && part.rows > 0);
        let mut rows = rows.into_iter();
        for batch in parts.flat_map(|part| batches(&out.join("current").join(lang.tag()).join(&part.name))) {
            let text = |name: &str, i: usize| batch[name].as_string::<i32>().value(i).to_owned();
            for i in 0..batch.num_rows() {
                let (key, row) = rows.next().expect("no row too many");
                assert_eq!(text("id", i), format!("{:032x}", row.id));
                assert_eq!(text("lang", i), lang.tag());
                assert_eq!((text("shard", i), text("response", i)), (key, row.response.clone()));
                assert_eq!(
                    (text("instruction", i), text("instruction_en", i)),
                    (row.instruction.clone(), row.instruction_en)
                );
                assert_eq!((text("response_en", i), text("url", i)), (row.response_en, row.lineage.url));
                assert_eq!(
                    (text("source_id", i), text("license", i)),
                    (row.lineage.source_id, row.lineage.license)
                );
                assert_eq!(batch["row"].as_primitive::<Int64Type>().value(i), i64::from(row.place.row));
                assert_eq!(
                    batch["cell"].as_primitive::<Int32Type>().value(i),
                    i32::try_from(row.cell).expect("small")
                );
                assert!(
                    batch["score"].as_primitive::<Float64Type>().value(i).to_bits() == row.score.to_bits()
                );
                let spans = batch["spans"].as_list::<i32>().value(i);
                let side = |side: usize| {
                    spans.as_struct().column(side).as_primitive::<Int64Type>().values().to_vec()
                };
                assert_eq!(side(0), row.spans.iter().map(|span| i64::from(span.start)).collect::<Vec<_>>());
                assert_eq!(side(1), row.spans.iter().map(|span| i64::from(span.end)).collect::<Vec<_>>());
                let turns = batch["messages"].as_list::<i32>().value(i);
                let words = |side: usize| -> Vec<String> {
                    let words = turns.as_struct().column(side).as_string::<i32>();
                    words.iter().map(|word| word.expect("no null").to_owned()).collect()
                };
                assert_eq!(words(0), ["user", "assistant"]);
                assert_eq!(words(1), [row.instruction, row.response]);
                let versions = batch["versions"].as_struct();
                assert_eq!(
                    versions.column_by_name("translate").expect("there").as_string::<i32>().value(i),
                    "scripted/1"
                );
            }
        }
        assert_eq!(rows.next(), None, "a row is missing");
    }
    let report = verify(&out, folder.path(), &mut |_| {}).expect("readable");
    assert!(report.holds() && report.rows > 500, "{report}");
}

#[test]
fn neither_workers_nor_arrival_show_in_the_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &KEYS, 300);
    let mut seen = Vec::new();
    for (i, (workers, bundle, seed)) in
        [(1, 16, 0), (2, 16, 3), (3, 1, 4), (1, 1000, 5)].into_iter().enumerate()
    {
        let out = folder.path().join(format!("out{i}"));
        let (manifest, _) = published(&out, &made, Way { workers, bundle, seed });
        assert_eq!(manifest.digest, Manifest::load(&out).expect("readable").expect("there").digest);
        seen.push(files(&out.join("current")));
    }
    assert!(seen[0].len() > 8 && seen.iter().all(|files| files == &seen[0]));
}

#[test]
fn a_row_group_is_a_block_of_source_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &["a.parquet"], 9000);
    let out = folder.path().join("out");
    let (manifest, _) = published(&out, &made, ONE);
    for part in manifest.parts.iter().filter(|part| part.rows > 0) {
        let file = File::open(out.join("current").join(part.lang.tag()).join(&part.name)).expect("there");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        let groups: Vec<i64> = builder
            .metadata()
            .row_groups()
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::num_rows)
            .collect();
        let block = |block: u32| {
            let rows = made.rows[0].iter().filter(|row| row.lang == part.lang && row.outcome.is_none());
            i64::try_from(rows.filter(|row| row.place.row / 4096 == block).count()).expect("few")
        };
        assert_eq!(groups, [block(0), block(1), block(2)]);
    }
    assert!(verify(&out, folder.path(), &mut |_| {}).expect("readable").holds());
}

#[test]
fn a_rerun_writes_nothing_and_an_unchanged_shard_is_reused() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &KEYS, 50);
    let out = folder.path().join("out");
    let (first, one) = published(&out, &made, ONE);
    let (second, two) = published(&out, &made, Way { workers: 2, bundle: 3, seed: 9 });
    assert!(one.written && !two.written && first == second);
    // What selection can compute before it reads a row.
    let output = Output::open(&out).expect("free");
    let ctx = isogloss::sink::PartContext {
        shards: made.shards.iter().map(|shard| (shard.key.clone(), shard.digest)).collect(),
        versions: made.versions.clone(),
        fingerprint: made.fingerprint,
        store: output.store(),
        ..Default::default()
    };
    for (number, shard) in (0..).zip(&made.shards) {
        let mut selected = ctx.selected(number).expect("known");
        let rows = &made.rows[number as usize];
        rows.iter().for_each(|row| selected.push(row.place, row.lang, row.content, row.cell));
        assert!(first.reusable(&shard.key, selected.finish()).is_some());
        selected.push(Place::default(), Lang::UND, 0, 0);
        assert!(first.reusable(&shard.key, selected.finish()).is_none());
    }
}

#[test]
fn a_row_that_an_endpoint_gave_up_on_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut made = made(folder.path(), &["a", "b"], 50);
    made.rows[0][3].outcome = Some(Verdict::faulted(Stage::Localize, Reason::GaveUp, 0.0));
    let (manifest, _) = published(&folder.path().join("out"), &made, ONE);
    for part in &manifest.parts {
        assert_eq!(part.transient_faults, part.shard == "a");
        assert_eq!(manifest.reusable(&part.shard, part.selected).is_some(), part.shard == "b");
    }
}

#[test]
fn every_fragment_is_counted_and_audited_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &KEYS, 200);
    let por = lang("por_Latn");
    let early = |i: u32| {
        let verdict = if i.is_multiple_of(2) {
            Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.9)
        } else {
            Verdict::faulted(Stage::Translate, Reason::GaveUp, 0.0)
        };
        Note { place: Place { shard: i % 4, row: 10_000 + i, start: 0 }, lang: por, verdict }
    };
    let early: Vec<Note> = (0..101).map(early).collect();
    let mut seen = Vec::new();
    for (mode, workers) in [(Audit::All, 1), (Audit::All, 3), (Audit::Faults, 2)] {
        let out = folder.path().join(format!("{mode:?}{workers}"));
        let output = Output::open(&out).expect("free");
        let ran = ran(&output, &made, Way { workers, bundle: 5, seed: 2 }, mode, &early).expect("complete");
        let mut tally: Tally = ran.tally();
        let selected: Vec<&Exchange> = made.rows.iter().flatten().collect();
        for row in &selected {
            tally.hand(Stage::Dedup, row.lang, 1);
        }
        tally.hand(Stage::Dedup, por, 101);
        tally.conserved().expect("nothing lost");
        assert_eq!(ran.notes, selected.len());
        assert_eq!(ran.in_flight, 0, "credits did not come back");
        let rows: u64 = ran.parts.iter().map(|part| part.rows).sum();
        assert_eq!(i64::try_from(rows).expect("few"), tally.published().values().sum::<i64>());
        let manifest = manifest_of(&made, &ran);
        let faults =
            early.iter().map(|note| note.verdict).chain(selected.iter().filter_map(|row| row.outcome));
        let faults = faults.filter(|verdict| verdict.ruling == Ruling::Faulted).count();
        let audited: u64 = manifest.audit.iter().map(|file| file.rows).sum();
        assert_eq!(
            usize::try_from(audited).expect("few"),
            if mode == Audit::All { 101 + selected.len() } else { faults }
        );
        for file in &manifest.audit {
            let mut last = (-1, -1);
            for batch in batches(&output.store().join("_audit").join(&file.name)) {
                for i in 0..batch.num_rows() {
                    let number = |name: &str| batch[name].as_primitive::<Int64Type>().value(i);
                    assert!(last < (number("row"), number("start")), "not sorted by place");
                    last = (number("row"), number("start"));
                    assert_eq!(batch["shard"].as_string::<i32>().value(i), file.shard);
                }
            }
        }
        seen.push(manifest);
    }
    assert!(seen[0] == seen[1] && seen[0].counts == seen[2].counts);
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys =
        ["../../evil", "/etc/passwd", "a\0b", "..", "C:\\x", "a/b/../../c", "\u{1b}]0;x\u{7}", "CON", "-rf"];
    let mut made = made(&folder.path().join("root"), &["a"], 20);
    let rows = std::mem::take(&mut made.rows[0]);
    made.rows = vec![rows; keys.len()];
    let shard = made.shards.pop().expect("one");
    made.shards =
        keys.iter().map(|key| isogloss::sink::ShardEntry { key: (*key).into(), ..shard.clone() }).collect();
    for (number, rows) in (0..).zip(&mut made.rows) {
        rows.iter_mut().for_each(|row| row.place.shard = number);
    }
    let out = folder.path().join("deep/out");
    let (manifest, _) = published(&out, &made, ONE);
    let seen = files(&out.join("current"));
    assert_eq!(seen.len(), 2 + manifest.parts.len() + manifest.audit.len());
    for name in seen.keys().filter_map(|path| path.to_str()) {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)), "{name:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
}

#[test]
fn a_disk_that_fails_and_a_bundle_out_of_turn_end_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut made = made(folder.path(), &["a"], 50);
    let output = Output::open(&folder.path().join("out")).expect("free");
    fs::write(output.store().join("por_Latn"), "in the way").expect("written");
    let error = ran(&output, &made, ONE, Audit::All, &[]).err().expect("no folder");
    assert!(
        error.to_string().contains("remedy=") && error.kind() == isogloss::ErrorKind::Unavailable,
        "{error}"
    );
    fs::remove_file(output.store().join("por_Latn")).expect("removed");
    Dice(1).shuffle(&mut made.rows[0]);
    let error = ran(&output, &made, ONE, Audit::All, &[]).err().expect("not in order");
    assert_eq!(error.kind(), isogloss::ErrorKind::Bug);
    drop(output);
    let output = Output::open(&folder.path().join("out")).expect("free");
    let left = files(&output.store());
    assert!(
        left.keys().all(|path| !path.to_string_lossy().ends_with(".tmp")),
        "not swept: {:?}",
        left.keys()
    );
}
