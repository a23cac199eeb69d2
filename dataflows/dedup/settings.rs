//! What a run of dedup can be told: flags, and `--set` for the rest.

use crate::config::{StateSettings, canonical, check_workers, fingerprint_of, put, typed};
use crate::error::{Error, Result};
use crate::source::SourceSettings;
use crate::stage::dedup::DedupSettings;
use crate::stage::sign::{FORM, SignSettings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::Table;
use xxhash_rust::xxh3::xxh3_128;

/// Everything that a run of dedup can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Shards, folders or globs.
    pub input: Vec<String>,
    /// Where lists and state go.
    pub output: PathBuf,
    /// Dataflow workers, `1..=256`; each decodes what it signs. The lists do not depend on it.
    pub workers: usize,
    /// Whether the kept rows themselves are written, too.
    pub rows: bool,
    /// How shards are read.
    pub source: SourceSettings,
    /// Signatures of documents.
    pub sign: SignSettings,
    /// What counts as a duplicate.
    pub dedup: DedupSettings,
    /// Where what is known is kept for the next run.
    pub state: StateSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            output: PathBuf::from("out/dedup"),
            workers: std::thread::available_parallelism().map_or(2, |cores| cores.get().min(256)),
            rows: false,
            source: SourceSettings::default(),
            sign: SignSettings::default(),
            dedup: DedupSettings::default(),
            state: StateSettings::default(),
        }
    }
}

/// Settings that cannot change a list.
const FREE: [&str; 8] = [
    "state",
    "input",
    "output",
    "workers",
    "source.batch_rows",
    "source.batch_bytes",
    "source.in_flight_rows",
    "source.in_flight_bytes",
];

impl Settings {
    /// The defaults with `sets` (`KEY=VALUE`, KEY dotted) on top.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an unknown key or a value of another type.
    pub fn parse(sets: &[String]) -> Result<Self> {
        let mut table = Table::new();
        for set in sets {
            put(&mut table, set)?;
        }
        typed(table, sets)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self) -> Result<()> {
        check_workers(self.workers)?;
        if self.input.is_empty() {
            return Err(Error::config("setting missing: key=input, remedy=name shards with --input GLOB"));
        }
        self.source.check("source")?;
        self.sign.check("sign")?;
        self.dedup.check("dedup")?;
        self.state.check("state")
    }

    /// As the settings of a run have it: of the settings under these keys.
    pub(super) fn fingerprint_of(&self, keys: &[&str]) -> Result<u128> {
        fingerprint_of(self, &FREE, keys)
    }

    /// 128-bit xxh3 of every setting that can change a list, of the form of signatures and of the program's version.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if settings cannot be written as TOML.
    pub fn fingerprint(&self) -> Result<u128> {
        let table = canonical(self, &FREE)?;
        let text = format!("{table}\nform = {FORM}\nversion = {}", env!("CARGO_PKG_VERSION"));
        Ok(xxh3_128(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_checked_and_the_fingerprint_knows_what_matters() {
        let of = |set: &str| Settings::parse(&[set.to_owned(), "input=['x']".to_owned()]).expect("valid");
        let print = |set: &str| of(set).fingerprint().expect("canonical");
        assert_eq!(print("workers=1"), print("workers=7"));
        assert_eq!(print("output=a"), print("source.batch_rows=9"));
        assert_ne!(print("rows=true"), print("rows=false"));
        assert_ne!(print("dedup.least_resemblance=0.8"), print("sign.bands=17"));
        assert!(of("workers=0").check().expect_err("range").to_string().contains("key=workers"));
        assert!(of("sign.bands=0").check().expect_err("range").to_string().contains("key=sign.bands"));
        assert!(
            Settings::parse(&["sgin.bands=1".to_owned()]).expect_err("typo").to_string().contains("sgin")
        );
        assert!(Settings::default().check().expect_err("no input").to_string().contains("--input"));
    }
}
