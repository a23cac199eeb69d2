//! Sorts rows in bounded memory: what does not fit lies in sorted runs on disk, and is merged as it is read.

use super::merge::{Merge, head_of};
use super::run::{COUNT, Run, RunMeta, RunWriter};
use crate::error::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives names to files that nobody else has.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    folder: Arc<Path>,
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl Scratch {
    /// Names in `folder`, which is there, that begin with `prefix`.
    pub(crate) fn new(folder: &Path, prefix: &str) -> Self {
        Self { folder: folder.into(), prefix: prefix.into(), next: Arc::default() }
    }

    /// The next name.
    pub(crate) fn path(&self, what: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{}-{what}-{number:04}.run", self.prefix))
    }
}

/// Rows on their way into order.
pub(crate) struct Sorter {
    key: usize,
    most_rows: usize,
    rows: Vec<u8>,
    spilled: Vec<Arc<Run>>,
    paths: Vec<PathBuf>,
    scratch: Scratch,
    what: &'static str,
    /// Equal rows do not add up.
    once: bool,
}

/// Rows that are brought together before they are written.
const NEAR: usize = 128;
/// Bytes that the order of a row takes while it is sorted.
const ORDER: usize = 16;

impl Sorter {
    /// For keys of `key` bytes, in about `budget` bytes of memory.
    pub(crate) fn new(what: &'static str, key: usize, budget: usize, scratch: &Scratch) -> Self {
        let most_rows = (budget / (key + COUNT + ORDER)).max(64);
        Self {
            key,
            most_rows,
            rows: Vec::new(),
            spilled: Vec::new(),
            paths: Vec::new(),
            scratch: scratch.clone(),
            what,
            once: false,
        }
    }

    /// A row. Equal ones add up.
    ///
    /// # Errors
    /// A disk that fails or is full.
    pub(crate) fn push(&mut self, key: &[u8], count: i32) -> Result<()> {
        debug_assert_eq!(key.len(), self.key, "keys of one width: {}", self.what);
        let count = i16::try_from(count)
            .map_err(|_| crate::Error::bug(format!("row counts too often: count={count}")))?;
        self.rows.extend_from_slice(key);
        self.rows.extend_from_slice(&count.to_le_bytes());
        if self.rows.len() >= self.most_rows * (self.key + COUNT) {
            self.spill()?;
        }
        Ok(())
    }

    /// A row that counts once, however often it is pushed.
    ///
    /// # Errors
    /// A disk that fails or is full.
    pub(crate) fn push_once(&mut self, key: &[u8]) -> Result<()> {
        self.once = true;
        self.push(key, 1)
    }

    fn sorted(&mut self) -> Result<(Run, PathBuf)> {
        let width = self.key + COUNT;
        let mut order: Vec<(u64, u32)> = (0..)
            .zip(self.rows.chunks_exact(width))
            .map(|(at, row)| (head_of(&row[..self.key]), at))
            .collect();
        let row = |at: u32| &self.rows[at as usize * width..(at as usize + 1) * width];
        let key = |at: u32| &row(at)[..self.key];
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        let path = self.scratch.path(self.what);
        let mut writer = RunWriter::new(self.key, path.clone());
        // Rows lie anywhere: a loop that does nothing but copy them waits for many of them at once.
        let mut near = Vec::with_capacity(NEAR * width);
        let (mut open, mut sum): (Vec<u8>, i32) = (Vec::new(), 0);
        for some in order.chunks(NEAR) {
            near.clear();
            some.iter().for_each(|(_, at)| near.extend_from_slice(row(*at)));
            for row in near.chunks_exact(width) {
                let (key, count) = row.split_at(self.key);
                let count = i32::from(i16::from_le_bytes(count.try_into().unwrap_or_default()));
                if open == key {
                    sum = if self.once { 1 } else { sum + count };
                    continue;
                }
                if !open.is_empty() {
                    writer.push(&open, sum)?;
                }
                open.clear();
                open.extend_from_slice(key);
                sum = if self.once { 1 } else { count };
            }
        }
        if !open.is_empty() {
            writer.push(&open, sum)?;
        }
        let (run, _) = writer.finish()?;
        self.rows.clear();
        Ok((run, path))
    }

    fn spill(&mut self) -> Result<()> {
        let (run, path) = self.sorted()?;
        self.spilled.push(Arc::new(run));
        self.paths.push(path);
        Ok(())
    }

    /// The rows in order. Spilled runs go when this goes.
    ///
    /// # Errors
    /// A disk that fails or is full.
    pub(crate) fn finish(mut self) -> Result<Sorted> {
        if !self.rows.is_empty() {
            self.spill()?;
        }
        self.rows = Vec::new();
        Ok(Sorted {
            runs: std::mem::take(&mut self.spilled),
            key: self.key,
            paths: std::mem::take(&mut self.paths),
        })
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        remove(&self.paths);
    }
}

/// Sorted rows.
pub(crate) struct Sorted {
    runs: Vec<Arc<Run>>,
    key: usize,
    paths: Vec<PathBuf>,
}

impl Sorted {
    /// Reads them from the start.
    ///
    /// # Errors
    /// A disk that fails.
    pub(crate) fn read(&self) -> Result<Merge> {
        let ahead = if self.runs.len() > 16 { 16 } else { 64 };
        Merge::new(&self.runs, &[], ahead)
    }

    /// Makes them one run at `path`; a small one stays in memory. A store to which it is added brings it to the disk.
    ///
    /// # Errors
    /// A disk that fails or is full.
    pub(crate) fn into_run(self, path: PathBuf) -> Result<(Run, Option<RunMeta>)> {
        self.read()?.write(self.key, path)
    }
}

impl Drop for Sorted {
    fn drop(&mut self) {
        remove(&self.paths);
    }
}

/// Small runs have no file.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = std::fs::remove_file(path);
    }
}
