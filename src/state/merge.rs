//! Several runs read as one: keys ascend, counts of equal keys add up, what counts nothing is not there.

use super::run::{Cursor, Run, RunMeta, RunWriter};
use crate::error::Result;
use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads runs in the order of their keys.
pub(crate) struct Merge {
    cursors: Vec<Cursor>,
    signs: Vec<i32>,
    /// The first bytes of the key of each cursor that stands at a row: most comparisons need no more.
    heads: Vec<u64>,
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
        let heads = vec![0; runs.len()];
        let mut merge = Self { cursors, signs, heads, heap: Vec::new(), key: Vec::new(), count: 0 };
        merge.gather();
        Ok(merge)
    }

    fn gather(&mut self) {
        self.heap.clear();
        for at in 0..self.cursors.len() {
            if self.head(at) {
                self.heap.push(at);
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift(at);
        }
    }

    /// Notes the head of a cursor; `false` if it stands at no row.
    fn head(&mut self, at: usize) -> bool {
        let Some(key) = self.cursors[at].key() else { return false };
        self.heads[at] = head_of(key);
        true
    }

    /// Whether the key of a cursor is less than that of another; both stand at a row.
    fn less(&self, a: usize, b: usize) -> bool {
        match self.heads[a].cmp(&self.heads[b]) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.cursors[a].key() < self.cursors[b].key(),
        }
    }

    fn sift(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.less(self.heap[child], self.heap[least]) {
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
            let head = self.heads[first];
            self.key.clear();
            self.key.extend_from_slice(self.cursors[first].key().unwrap_or_default());
            self.count = 0;
            while let Some(first) = self.heap.first().copied() {
                let cursor = &mut self.cursors[first];
                if self.heads[first] != head || cursor.key() != Some(self.key.as_slice()) {
                    break;
                }
                self.count += cursor.count() * self.signs[first];
                cursor.advance()?;
                if !self.head(first) {
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
    pub(crate) fn write(mut self, key: usize, path: PathBuf) -> Result<(Run, Option<RunMeta>)> {
        let mut writer = RunWriter::new(key, path);
        while self.next()? {
            writer.push(&self.key, self.count)?;
        }
        writer.finish()
    }
}

/// The first 8 bytes of a key, in an order that is that of keys of one width.
pub(super) fn head_of(key: &[u8]) -> u64 {
    if let Some(head) = key.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(head)
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
