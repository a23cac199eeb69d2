//! Several runs read as one: keys ascend, counts of equal keys add up, what counts nothing is not there.

use super::run::{Cursor, Run, RunMeta, RunWriter};
use crate::error::Result;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads runs in the order of their keys.
pub(crate) struct Merge {
    cursors: Vec<Cursor>,
    signs: Vec<i32>,
    /// Cursors that stand at a row, as a heap: the least key first.
    heap: Vec<usize>,
    key: Vec<u8>,
    count: i32,
}

impl Merge {
    /// From the first key that is `from` or greater. `ahead` blocks are read at a time.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn new(runs: &[Arc<Run>], from: &[u8], ahead: u64) -> Result<Self> {
        let signed: Vec<(Arc<Run>, i32)> = runs.iter().map(|run| (Arc::clone(run), 1)).collect();
        Self::signed(&signed, from, ahead)
    }

    /// As [`new`](Self::new), with a factor for the counts of each run.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn signed(runs: &[(Arc<Run>, i32)], from: &[u8], ahead: u64) -> Result<Self> {
        let mut cursors: Vec<Cursor> =
            runs.iter().map(|(run, _)| Cursor::new(Arc::clone(run), ahead)).collect();
        for cursor in &mut cursors {
            cursor.seek(from)?;
        }
        let signs = runs.iter().map(|(_, sign)| *sign).collect();
        let mut merge = Self { cursors, signs, heap: Vec::new(), key: Vec::new(), count: 0 };
        merge.gather();
        Ok(merge)
    }

    fn gather(&mut self) {
        self.heap = (0..self.cursors.len()).filter(|at| self.cursors[*at].key().is_some()).collect();
        for at in (0..self.heap.len() / 2).rev() {
            self.sift(at);
        }
    }

    fn sift(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len()
                    && self.cursors[self.heap[child]].key() < self.cursors[self.heap[least]].key()
                {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// The next row that counts; `false` at the end.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn next(&mut self) -> Result<bool> {
        while let Some(first) = self.heap.first().copied() {
            self.key.clear();
            self.key.extend_from_slice(self.cursors[first].key().unwrap_or_default());
            self.count = 0;
            while let Some(first) = self.heap.first().copied() {
                let cursor = &mut self.cursors[first];
                if cursor.key() != Some(self.key.as_slice()) {
                    break;
                }
                self.count += cursor.count() * self.signs[first];
                cursor.advance()?;
                if cursor.key().is_none() {
                    self.heap.swap_remove(0);
                }
                self.sift(0);
            }
            if self.count != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The key of the row that [`next`](Self::next) found.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// How often it counts.
    pub(crate) fn count(&self) -> i32 {
        self.count
    }

    /// Moves on to the first key that is `key` or greater. Keys that are sought ascend, so blocks are read once.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        for cursor in &mut self.cursors {
            cursor.seek(key)?;
        }
        self.gather();
        Ok(())
    }

    /// Writes what is left into one run.
    ///
    /// # Errors
    /// Damage, or a disk that fails or is full.
    pub(crate) fn write(
        mut self,
        key: usize,
        path: PathBuf,
        durable: bool,
    ) -> Result<(Run, Option<RunMeta>)> {
        let mut writer = RunWriter::new(key, path);
        while self.next()? {
            writer.push(&self.key, self.count)?;
        }
        writer.finish(durable)
    }
}

/// Reads runs from the greatest key down.
pub(crate) struct Backward {
    cursors: Vec<Cursor>,
    key: Vec<u8>,
    count: i32,
}

impl Backward {
    /// From the last key that is `from` or less.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn new(runs: &[Arc<Run>], from: &[u8]) -> Result<Self> {
        let mut cursors: Vec<Cursor> = runs.iter().map(|run| Cursor::new(Arc::clone(run), 1)).collect();
        for cursor in &mut cursors {
            cursor.seek(from)?;
            match cursor.key() {
                None => cursor.seek_last()?,
                Some(key) if key > from => cursor.retreat()?,
                Some(_) => {}
            }
        }
        Ok(Self { cursors, key: Vec::new(), count: 0 })
    }

    /// The row before that counts; `false` at the start.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn next(&mut self) -> Result<bool> {
        loop {
            let Some(greatest) = self.cursors.iter().filter_map(Cursor::key).max() else { return Ok(false) };
            self.key.clear();
            self.key.extend_from_slice(greatest);
            self.count = 0;
            for cursor in &mut self.cursors {
                if cursor.key() == Some(self.key.as_slice()) {
                    self.count += cursor.count();
                    cursor.retreat()?;
                }
            }
            if self.count != 0 {
                return Ok(true);
            }
        }
    }

    /// The key of the row that [`next`](Self::next) found.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}
