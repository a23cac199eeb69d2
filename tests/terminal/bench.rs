//! What `bench` tells, against what a run counts and against a truth.

use super::*;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything in a folder: paths and bytes.
fn contents(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            contents(&path, into);
        } else {
            let bytes = std::fs::read(&path).expect("read");
            into.push((path, bytes));
        }
    }
    into.sort();
}

#[test]
fn a_bench_counts_what_a_run_counts_and_writes_nothing() {
    let Some(world) = World::new() else { return };
    let (server, folder) = (&world.server, &world.folder);
    let at = |name: &str| world.at(name);
    let langs = ["tur_Latn", "tha_Thai", "por_Latn"].map(|lang| format!("'data/corpora/{lang}'")).join(", ");
    let text = format!("input = [{langs}]\noutput = '{}'\n{}", at("out"), server.settings());
    std::fs::write(at("run.toml"), text).expect("written");
    let ran = run_told(&at("run.toml"));
    let (mut before, mut after) = (Vec::new(), Vec::new());
    contents(folder.path(), &mut before);
    let asked = server.bill().all();
    let told = done(&["bench", &at("run.toml"), "--json", "--repeat", "2", "--workers", "2"]);
    contents(folder.path(), &mut after);
    assert!(before == after && server.bill().all() == asked, "nothing is written, nobody is asked");
    let lines: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["line"], &lines[0]["workers"]), (&"machine".into(), &2.into()));
    let stages: Vec<&str> = lines[1..].iter().map(|line| line["stage"].as_str().expect("a stage")).collect();
    assert_eq!(stages, ["read", "fragment", "identify", "quality", "sign", "dedup"]);
    let counted = |stage: &str, ruling: &str| -> u64 {
        let ends = ran["counts"].as_array().expect("counts").iter();
        let ends = ends.filter(|end| end["stage"] == stage && end["ruling"] == ruling);
        ends.filter_map(|end| end["count"].as_u64()).sum()
    };
    let mut left_out = 0;
    for line in &lines[1..] {
        let stage = line["stage"].as_str().expect("a stage");
        for ruling in ["dropped", "faulted"] {
            assert_eq!(line[ruling], counted(stage, ruling), "{ruling}: {line}");
            left_out += counted(stage, ruling);
        }
        assert!(line["mb_per_second"].as_f64().is_some_and(|speed| speed > 0.0), "{line}");
    }
    assert!(left_out > 10, "{left_out}");
    assert_eq!(lines[6]["kept"], came(&ran, "translate"), "{told}");
    let in_memory = done(&["bench", &at("run.toml"), "--json", "--set", "state.mode='memory'"]);
    let last: serde_json::Value =
        serde_json::from_str(in_memory.lines().last().expect("a line")).expect("JSON");
    for count in ["documents", "text_bytes", "entered", "kept", "dropped", "faulted"] {
        assert_eq!(last[count], lines[6][count], "{count}: {in_memory}");
    }
    let (code, _, said) = isogloss(&["bench", &at("run.toml"), "--set", "sign.lanes=0"]);
    assert!(code == 3 && said.contains("sign"), "{said}");
    assert!(done(&["bench", &at("run.toml")]).contains("documents/s"));
}

#[test]
fn a_bench_tells_recall_by_script_where_it_is_given_the_truth() {
    if !can_identify() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let words = |seed: u32| -> String {
        let word = |at: u32| format!("w{:x} ", (at * 7 + seed).wrapping_mul(2_654_435_761) >> 8);
        (0..150).map(word).collect()
    };
    let (one, other) = (words(1), words(5000));
    let near = one.replacen('w', "v", 1);
    let rows = [("a", one.as_str()), ("near", near.as_str()), ("b", other.as_str())];
    let columns = [rows.map(|(id, _)| id), rows.map(|(_, text)| text)];
    let columns = columns.map(|column| Arc::new(StringArray::from_iter_values(column)) as ArrayRef);
    let batch = RecordBatch::try_from_iter(["id", "text"].into_iter().zip(columns)).expect("a batch");
    let file = std::fs::File::create(at("set.parquet")).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("started");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    std::fs::write(at("my.toml"), format!("input = ['{}']", at("set.parquet"))).expect("written");
    let judged = |truth: &str| {
        std::fs::write(at("truth.tsv"), truth).expect("written");
        let mut command = Command::cargo_bin("isogloss").expect("built by cargo");
        ended(command.args(["bench", &at("my.toml"), "--json", "--truth", &at("truth.tsv")]))
    };
    let line = |told: &str, kind: &str| -> serde_json::Value {
        let mut lines = told.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.rfind(|line: &serde_json::Value| line["line"] == kind).expect("a line")
    };
    let (code, told, said) = judged("near\ta\tsub\t0.97\tLatn\nb\ta\tnone\t0.01\tLatn\n");
    assert_eq!(code, 0, "{said}");
    let recall = line(&told, "recall");
    assert_eq!((&recall["recall"], &recall["merged"]), (&1.0.into(), &0.into()), "{told}");
    assert_eq!((&recall["script"], &line(&told, "errors")["removed_unplanted"]), (&"Latn".into(), &0.into()));
    // A truth that is none lowers it, and what it does not know of is told.
    let (_, told, _) = judged("b\ta\tsub\t0.9\tLatn\n");
    assert_eq!(line(&told, "recall")["recall"], 0.0, "{told}");
    assert_eq!(line(&told, "errors")["removed_unplanted"], 1, "{told}");
    for wrong in ["b\ta\tsub\t1.9\tLatn", "nobody\ta\tsub\t0.9\tLatn", ""] {
        let (code, _, said) = judged(wrong);
        assert!(code == 3 && said.contains("remedy="), "{wrong}: {said}");
    }
}
