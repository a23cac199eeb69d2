//! Proves every row of an output against its source.
//!
//! **Why**: the promise is that a response is native text as it was found. Anyone with the shards can check it here,
//! and the check shares nothing with the writer: it reads the published files as any reader would, and the source
//! by plain Parquet. Memory is bounded by a row group, whatever the output's size.

mod part;
mod source;

use super::file::hash_of;
use super::manifest::{Manifest, NAME};
use super::names::is_plain;
use super::snapshot::{AUDIT, CURRENT};
use crate::error::{Error, Result};
use crate::telemetry::plain;
use source::{Source, State};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Violations that are kept with their words; the others are counted.
const MOST_KEPT: usize = 200;

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The file, from the snapshot's folder; or the shard's key.
    pub file: String,
    /// The row in the file, from 0.
    pub row: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", plain(&self.file))?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        write!(f, ": {}", plain(&self.what))
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Rows whose response was found in their source, byte for byte.
    pub proved: u64,
    /// Parts read.
    pub parts: u64,
    /// The first violations.
    pub violations: Vec<Violation>,
    /// All violations.
    pub count: u64,
}

impl Report {
    /// Whether every row was proved.
    pub fn holds(&self) -> bool {
        self.count == 0 && self.proved == self.rows
    }

    fn add(&mut self, file: &str, row: Option<u64>, what: impl Into<String>) {
        self.count += 1;
        if self.violations.len() < MOST_KEPT {
            self.violations.push(Violation { file: file.to_owned(), row, what: what.into() });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        let unsaid = self.count - self.violations.len() as u64;
        if unsaid > 0 {
            writeln!(f, "and {unsaid} more")?;
        }
        write!(f, "{} rows in {} parts: {} proved against their source", self.rows, self.parts, self.proved)?;
        if self.count > 0 {
            write!(f, ", {} violations", self.count)?;
        }
        Ok(())
    }
}

/// Checks the published snapshot of `output`; shard keys lead from `root`. `tell` hears of each part.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if nothing was published there;
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder cannot be listed. What is wrong with files
/// or rows is in the report.
pub fn verify(output: &Path, root: &Path, tell: &mut dyn FnMut(&str)) -> Result<Report> {
    // Resolved once, so that a run which publishes meanwhile does not mix two snapshots.
    let current = fs::canonicalize(output.join(CURRENT)).map_err(|cause| {
        Error::config(format!("nothing published: path={}, remedy=isogloss run", output.display()))
            .because(cause)
    })?;
    let manifest = Manifest::read(&current.join(NAME))?.ok_or_else(|| {
        Error::config(format!("no manifest: path={}, remedy=isogloss run", current.display()))
    })?;
    let mut report = Report::default();
    if manifest.clone().sealed() != manifest {
        report.add(NAME, None, "its order or its digest is not that of its parts");
    }
    let mut known = BTreeSet::new();
    for file in &manifest.audit {
        let name = format!("{AUDIT}/{}", file.name);
        check_bytes(&mut report, &current, &name, file.bytes, file.hash);
        known.insert(name);
    }
    // Parts by shard, so that a shard is opened once.
    let mut by_shard: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, part) in manifest.parts.iter().enumerate().filter(|(_, part)| part.rows > 0) {
        by_shard.entry(&part.shard).or_default().push(i);
    }
    for (key, parts) in by_shard {
        let source = open(&mut report, &manifest, root, key);
        for part in parts.into_iter().filter_map(|i| manifest.parts.get(i)) {
            let name = format!("{}/{}", part.lang.tag(), part.name);
            tell(&format!("{}, {} rows", plain(&name), part.rows));
            known.insert(name.clone());
            report.parts += 1;
            if !is_plain(&part.name) {
                report.add(&name, None, "no name of ours");
            } else if check_bytes(&mut report, &current, &name, part.bytes, part.hash) {
                part::check(&mut report, &current.join(&name), &name, &manifest, part, source.as_ref());
            }
        }
    }
    for name in listed(&current)? {
        if !known.contains(&name) {
            report.add(&name, None, "not in the manifest");
        }
    }
    Ok(report)
}

/// Opens the source of a shard; says so if it is not what the rows were made from.
fn open(report: &mut Report, manifest: &Manifest, root: &Path, key: &str) -> Option<Source> {
    let Some(entry) = manifest.shard(key) else {
        report.add(key, None, "a shard that the manifest does not list");
        return None;
    };
    match Source::open(&root.join(key), entry) {
        State::Same(source) => Some(source),
        State::Replaced => {
            report.add(
                key,
                None,
                "the shard was replaced since: its digest differs, its rows are not proved",
            );
            None
        }
        State::Away(why) => {
            report.add(key, None, format!("the shard cannot be read, its rows are not proved: {why}"));
            None
        }
    }
}

/// Whether a file has the bytes of the manifest, or at least is there to be looked at.
fn check_bytes(report: &mut Report, current: &Path, name: &str, bytes: u64, hash: u128) -> bool {
    match hash_of(&current.join(name)) {
        Ok(found) if found == (bytes, hash) => true,
        Ok(_) => {
            report.add(name, None, "its bytes are not those of the manifest");
            true
        }
        Err(cause) => {
            report.add(name, None, format!("cannot be read: {cause}"));
            false
        }
    }
}

/// Every Parquet file of the snapshot, with its folder.
fn listed(current: &Path) -> Result<Vec<String>> {
    let unreadable = |path: &Path, cause| super::file::away("folder unreadable", path, cause);
    let mut names = Vec::new();
    let entries = |path: PathBuf| -> Result<Vec<PathBuf>> {
        let read = fs::read_dir(&path).map_err(|cause| unreadable(&path, cause))?;
        read.map(|entry| Ok(entry.map_err(|cause| unreadable(&path, cause))?.path())).collect()
    };
    for folder in entries(current.to_owned())?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(folder)? {
            let relative = file.strip_prefix(current).unwrap_or(&file);
            names.push(relative.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
