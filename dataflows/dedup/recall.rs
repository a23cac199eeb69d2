//! How many planted duplicates `isogloss dedup` finds, by script, where a file tells the truth.
//!
//! A truth file has one planted pair a line, its cells parted by tabs: id of the copy, id of its original, kind, Jaccard
//! (`0..=1`), script. More cells are let be. `benches/near_dup` makes such a file with its set.

use super::{Settings, dedup};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::stop::Stop;
use arrow::array::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

/// Pairs at or above it must be found.
pub const LIKE: f64 = 0.8;

/// Pairs below it must not be found.
pub const UNLIKE: f64 = 0.65;

/// A planted pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Planted {
    copy: String,
    original: String,
    jaccard: f64,
    script: String,
}

/// What was found of the pairs of a script.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recall {
    /// Pairs of a Jaccard of [`LIKE`] and over.
    pub pairs: u64,
    /// Of these, pairs in one cluster.
    pub found: u64,
    /// Pairs under [`UNLIKE`].
    pub unlike: u64,
    /// Of these, pairs in one cluster.
    pub merged: u64,
}

impl Recall {
    /// Found of all, `0..=1`; `None` without pairs.
    pub fn share(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.found as f64 / self.pairs as f64)
    }
}

/// What the truth says of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Judged {
    /// By script.
    pub scripts: BTreeMap<String, Recall>,
    /// Documents that were removed and stand in no planted pair. Real text has duplicates that nobody planted.
    pub removed_unplanted: u64,
}

/// Reads a truth file.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the file and the line.
pub fn truth(path: &Path) -> Result<Vec<Planted>> {
    let told = |what: &str| {
        let remedy = "one pair a line, cells parted by tabs: copy, original, kind, Jaccard in 0..=1, script";
        Error::config(format!("{what}: file={}, remedy={remedy}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|cause| told("truth not read").because(cause))?;
    let pairs: Result<Vec<Planted>> = (1_u64..)
        .zip(text.lines())
        .map(|(line, text)| planted(text).ok_or_else(|| told(&format!("not a planted pair: line={line}"))))
        .collect();
    pairs.and_then(|pairs| if pairs.is_empty() { Err(told("no planted pair")) } else { Ok(pairs) })
}

fn planted(line: &str) -> Option<Planted> {
    let mut cells = line.split('\t');
    let (copy, original, _kind) = (cells.next()?, cells.next()?, cells.next()?);
    let jaccard: f64 = cells.next()?.parse().ok()?;
    let script = cells.next()?;
    let whole =
        (0.0..=1.0).contains(&jaccard) && !copy.is_empty() && !original.is_empty() && copy != original;
    let owned = str::to_owned;
    whole.then(|| Planted { copy: owned(copy), original: owned(original), jaccard, script: owned(script) })
}

/// Removes duplicates of whole documents into a folder of its own, which is gone afterwards, and compares.
///
/// # Errors
/// As [`dedup`]; [`ErrorKind::Config`](crate::ErrorKind::Config) if an id of the truth is in no shard.
pub fn judged(mut settings: Settings, truth: &[Planted], stop: &Stop) -> Result<Judged> {
    let folder = tempfile::tempdir()
        .map_err(|cause| Error::unavailable("no temporary folder, remedy=set TMPDIR").because(cause))?;
    settings.output = folder.path().to_path_buf();
    settings.rows = false;
    settings.state.mode = Mode::Memory;
    dedup(settings, stop)?;
    let mut clusters = BTreeMap::new();
    each(&folder.path().join("clusters.parquet"), |id, cluster| {
        clusters.insert(id.to_owned(), cluster.to_owned());
    })?;
    let mut kept = BTreeSet::new();
    each(&folder.path().join("kept.parquet"), |id, _| {
        kept.insert(id.to_owned());
    })?;
    compared(truth, &clusters, &kept)
}

fn compared(
    truth: &[Planted],
    clusters: &BTreeMap<String, String>,
    kept: &BTreeSet<String>,
) -> Result<Judged> {
    let mut judged = Judged::default();
    let mut known = BTreeSet::new();
    for pair in truth {
        for id in [&pair.copy, &pair.original] {
            if !clusters.contains_key(id) && !kept.contains(id) {
                let remedy = "give the truth of these shards, or name the column of ids with --set source.columns.id=COLUMN";
                return Err(Error::config(format!("id of the truth in no shard: id={id}, remedy={remedy}")));
            }
            known.insert(id);
        }
        let together =
            clusters.get(&pair.copy).is_some_and(|cluster| clusters.get(&pair.original) == Some(cluster));
        let recall = judged.scripts.entry(pair.script.clone()).or_default();
        if pair.jaccard >= LIKE {
            recall.pairs += 1;
            recall.found += u64::from(together);
        } else if pair.jaccard < UNLIKE {
            recall.unlike += 1;
            recall.merged += u64::from(together);
        }
    }
    let removed = clusters.keys().filter(|id| !kept.contains(*id) && !known.contains(id));
    judged.removed_unplanted = removed.count() as u64;
    Ok(judged)
}

/// Every id of a list, with its cluster where the list has one.
fn each(path: &Path, mut see: impl FnMut(&str, &str)) -> Result<()> {
    let broken = || Error::bug("a list of this run cannot be read");
    let file = File::open(path).map_err(|cause| broken().because(cause))?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    for batch in reader.map_err(|cause| broken().because(cause))? {
        let batch = batch.map_err(|cause| broken().because(cause))?;
        let ids = batch.column_by_name("id").and_then(|ids| ids.as_string_opt::<i32>()).ok_or_else(broken)?;
        let clusters = batch.column_by_name("cluster").and_then(|column| column.as_string_opt::<i32>());
        for at in 0..batch.num_rows() {
            see(ids.value(at), clusters.map_or("", |clusters| clusters.value(at)));
        }
    }
    Ok(())
}
