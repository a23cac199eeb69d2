//! The output opens in the libraries that people use. Needs the packages of `tests/requirements.txt`; a machine without
//! them prints a line and goes on.

use crate::made::{Way, made, published};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python with the packages: the project's own environment, or the one on the path.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = [root.join(".venv/bin/python"), PathBuf::from("python3")];
    candidates.into_iter().find(|python| {
        let asked =
            Command::new(python).args(["-c", "import datasets, duckdb, polars, pyarrow, yaml"]).output();
        asked.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn pyarrow_polars_duckdb_and_datasets_open_the_output() {
    let Some(python) = python() else {
        println!("skipped: no Python with the packages of tests/requirements.txt");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let made = made(folder.path(), &["in/a.parquet", "in/'b\n\u{202e}.parquet"], 200);
    let out = folder.path().join("out");
    published(&out, &made, Way { workers: 2, bundle: 16, seed: 1 });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let cache = folder.path().join("cache");
    let read =
        Command::new(python).arg(script).arg(&out).env("HF_HOME", cache).env("HF_HUB_OFFLINE", "1").output();
    let read = read.expect("started");
    print!("{}", String::from_utf8_lossy(&read.stdout));
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}
