//! A sorted immutable run: rows of one width, ascending, each with how often it counts.
//!
//! **Why**: what a crawl leaves behind is far larger than memory and grows by a little each month. A run is written once
//! and never changed, so a crash cannot harm it; a change is a new, small run beside it, whose rows count +1 or −1.
//!
//! A row is a key of fixed width, compared byte by byte, and its count. Rows lie in blocks of about 4 KiB; the index, which is
//! read when a run is opened, has 24 bytes a block: the first 16 bytes of its first key, and the 64-bit xxh3 of the
//! block, which every reading of it is checked against. Blocks are read, not mapped, so what was read once does not
//! count as memory of the process.

mod carried;

use super::damage::damaged;
use crate::error::Result;
use crate::sink::file::away;
pub(crate) use carried::Carried;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Bytes of a block, at most; a wider row is a block of its own.
const BLOCK: usize = 4096;
/// Bytes of the first key that the index holds.
const FIRST: usize = 16;
/// Bytes of an entry of the index.
const ENTRY: usize = FIRST + 8;
/// Bytes of the count behind each key.
pub(crate) const COUNT: usize = 2;
/// A run stays in memory up to this size; a commit packs such runs into one file.
pub(crate) const SMALL: usize = 1 << 20;
/// Bytes of a larger one that are written at a time.
const WRITE: usize = 1 << 18;

#[derive(Debug, Clone, Copy)]
struct Entry {
    first: [u8; FIRST],
    check: u64,
}

/// What names a run in the manifest of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunMeta {
    /// Its file, in the folder of runs.
    pub(crate) file: String,
    /// Where it starts there.
    pub(crate) offset: u64,
    /// Its rows.
    pub(crate) rows: u64,
    /// Bytes of a row, its count included.
    pub(crate) width: usize,
    /// 128-bit xxh3 of its index.
    #[serde(with = "crate::sink::names::hash")]
    pub(crate) check: u128,
}

impl RunMeta {
    /// Bytes in its file: rows, then index.
    pub(crate) fn bytes(&self) -> u64 {
        let blocks = self.rows.div_ceil(per_block(self.width));
        self.rows * self.width as u64 + blocks * ENTRY as u64
    }
}

#[derive(Debug, Clone)]
enum Data {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>, Arc<Path>, u64),
}

/// A run, open.
#[derive(Debug)]
pub(crate) struct Run {
    data: Data,
    rows: u64,
    width: usize,
    index: Vec<Entry>,
}

fn per_block(width: usize) -> u64 {
    (BLOCK / width).max(1) as u64
}

impl Run {
    /// Opens a run of a file and checks its index.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is away or damaged.
    pub(crate) fn open(folder: &Path, meta: &RunMeta) -> Result<Self> {
        Self::open_at(&folder.join(&meta.file), meta)
    }

    /// As [`open`](Self::open), of a file that holds other things too.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_at(path: &Path, meta: &RunMeta) -> Result<Self> {
        let file = File::open(path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => damaged(path, "run missing").because(cause),
            _ => away("run unreadable", path, cause),
        })?;
        let blocks = meta.rows.div_ceil(per_block(meta.width));
        let length = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(ENTRY);
        if file.metadata().map_err(|cause| away("run unreadable", path, cause))?.len()
            < meta.offset + meta.bytes()
        {
            return Err(damaged(path, "run too short"));
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, meta.offset + meta.rows * meta.width as u64)
            .map_err(|cause| away("run unreadable", path, cause))?;
        if xxh3_128(&bytes) != meta.check {
            return Err(damaged(path, "index of a run altered"));
        }
        let index = bytes.chunks_exact(ENTRY).map(entry_of).collect();
        let data = Data::File(Arc::new(file), path.into(), meta.offset);
        Ok(Self { data, rows: meta.rows, width: meta.width, index })
    }

    /// Its rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of a row, its count included.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        match &self.data {
            Data::File(_, path, _) => path,
            Data::Memory(_) => Path::new("(memory)"),
        }
    }

    /// Reads `many` blocks from `block` on, at most as many as there are, and checks them.
    fn read(&self, block: u64, many: u64, into: &mut Vec<u8>) -> Result<()> {
        let size = per_block(self.width) * self.width as u64;
        let end = ((block + many) * size).min(self.rows * self.width as u64);
        let start = (block * size).min(end);
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        into.resize(length, 0);
        match &self.data {
            Data::Memory(bytes) => {
                let from = usize::try_from(start).unwrap_or(usize::MAX);
                into.copy_from_slice(bytes.get(from..from + length).unwrap_or_default());
                return Ok(());
            }
            Data::File(file, path, base) => {
                file.read_exact_at(into, base + start)
                    .map_err(|cause| away("run unreadable", path, cause))?;
            }
        }
        let first = usize::try_from(block).unwrap_or(usize::MAX);
        let checks = self.index.get(first..).unwrap_or_default();
        for (bytes, entry) in into.chunks(usize::try_from(size).unwrap_or(usize::MAX)).zip(checks) {
            if xxh3_64(bytes) != entry.check {
                return Err(damaged(self.path(), "block of a run altered"));
            }
        }
        Ok(())
    }

    /// Reads all of it and checks it: blocks against the index, and that rows ascend.
    ///
    /// # Errors
    /// What [`open`](Self::open) says of damage.
    pub(crate) fn verify(self: &Arc<Self>) -> Result<()> {
        let mut cursor = Cursor::new(Arc::clone(self), 64);
        let mut before: Vec<u8> = Vec::new();
        cursor.seek(&[])?;
        while let Some(key) = cursor.key() {
            if !before.is_empty() && before.as_slice() >= key {
                return Err(damaged(self.path(), "rows of a run out of order"));
            }
            before.clear();
            before.extend_from_slice(key);
            cursor.advance()?;
        }
        Ok(())
    }

    /// The bytes as they stand in a file: rows, then index; for runs in memory.
    pub(crate) fn packed(&self) -> Option<(Vec<u8>, u128)> {
        let Data::Memory(rows) = &self.data else { return None };
        let index = index_bytes(&self.index);
        let check = xxh3_128(&index);
        Some(([rows.as_slice(), &index].concat(), check))
    }
}

fn entry_of(bytes: &[u8]) -> Entry {
    let (first, check) = bytes.split_at(FIRST);
    Entry {
        first: first.try_into().unwrap_or_default(),
        check: u64::from_le_bytes(check.try_into().unwrap_or_default()),
    }
}

fn index_bytes(index: &[Entry]) -> Vec<u8> {
    index.iter().flat_map(|entry| entry.first.into_iter().chain(entry.check.to_le_bytes())).collect()
}

/// Writes a run: in memory while it is small, then into a file.
pub(crate) struct RunWriter {
    width: usize,
    path: PathBuf,
    /// Bytes that stay in memory.
    most: usize,
    file: Option<File>,
    /// Rows that are not in the file.
    bytes: Vec<u8>,
    /// Where the open block starts in `bytes`.
    block: usize,
    rows: u64,
    index: Vec<Entry>,
}

impl RunWriter {
    /// A run of keys of `key` bytes; `path` is made once the run is no longer small.
    pub(crate) fn new(key: usize, path: PathBuf) -> Self {
        let width = key + COUNT;
        Self { width, path, most: SMALL, file: None, bytes: Vec::new(), block: 0, rows: 0, index: Vec::new() }
    }

    /// A run that stays in memory, whatever its size.
    pub(crate) fn in_memory(key: usize) -> Self {
        Self { most: usize::MAX, ..Self::new(key, PathBuf::new()) }
    }

    /// Bytes of a row, its count included.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The next row; its key is greater than that of every row before it. Rows that count nothing are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn push(&mut self, key: &[u8], count: i32) -> Result<()> {
        debug_assert_eq!(key.len() + COUNT, self.width, "keys of one width");
        if count == 0 {
            return Ok(());
        }
        let count = i16::try_from(count)
            .map_err(|_| crate::Error::bug(format!("row counts too often: count={count}")))?;
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.rows += 1;
        if self.rows.is_multiple_of(per_block(self.width)) {
            self.end_block()?;
        }
        Ok(())
    }

    /// All rows of a run, each of which is greater than every row before.
    ///
    /// # Errors
    /// As [`push`](Self::push); a run that is damaged.
    pub(crate) fn append(&mut self, run: &Run) -> Result<()> {
        debug_assert_eq!(run.width, self.width, "keys of one width");
        let (blocks, ahead) = (run.rows.div_ceil(per_block(run.width)), (WRITE / BLOCK) as u64);
        let block = usize::try_from(per_block(self.width)).unwrap_or(usize::MAX).saturating_mul(self.width);
        let mut read = Vec::new();
        for at in (0..blocks).step_by(WRITE / BLOCK) {
            run.read(at, ahead, &mut read)?;
            let mut left = read.as_slice();
            while !left.is_empty() {
                let room = block - (self.bytes.len() - self.block);
                let (now, later) = left.split_at(room.min(left.len()));
                self.bytes.extend_from_slice(now);
                self.rows += (now.len() / self.width) as u64;
                if now.len() == room {
                    self.end_block()?;
                }
                left = later;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let block = self.bytes.get(self.block..).unwrap_or_default();
        if block.is_empty() {
            return Ok(());
        }
        let mut first = [0; FIRST];
        let key = block.get(..FIRST.min(self.width - COUNT)).unwrap_or_default();
        first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        self.index.push(Entry { first, check: xxh3_64(block) });
        self.block = self.bytes.len();
        if self.bytes.len() >= if self.file.is_some() { WRITE } else { self.most } {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let failed = |cause| away("run not written", &self.path, cause);
        let file = match self.file.take() {
            Some(file) => file,
            None => File::create(&self.path).map_err(failed)?,
        };
        self.file.insert(file).write_all(&self.bytes).map_err(failed)?;
        self.bytes.clear();
        self.bytes.shrink_to(WRITE + BLOCK);
        self.block = 0;
        Ok(())
    }

    /// The run. A small one is in memory still, and nobody waits for the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn finish(mut self) -> Result<(Run, Option<RunMeta>)> {
        self.end_block()?;
        let Self { width, path, file, mut bytes, rows, index, .. } = self;
        let Some(mut file) = file else {
            return Ok((Run { data: Data::Memory(Arc::new(bytes)), rows, width, index }, None));
        };
        let failed = |cause| away("run not written", &path, cause);
        let packed = index_bytes(&index);
        bytes.extend_from_slice(&packed);
        file.write_all(&bytes).map_err(failed)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let meta = RunMeta { file: name, offset: 0, rows, width, check: xxh3_128(&packed) };
        let file = File::open(&path).map_err(failed)?;
        Ok((Run { data: Data::File(Arc::new(file), path.into(), 0), rows, width, index }, Some(meta)))
    }
}

/// A place in a run. It keeps the blocks that it read last.
#[derive(Debug)]
pub(crate) struct Cursor {
    run: Arc<Run>,
    /// Blocks that one reading brings.
    ahead: u64,
    buffer: Vec<u8>,
    /// Rows of the buffer.
    from: u64,
    to: u64,
    /// The row it stands at; past the end, the number of rows.
    at: u64,
}

impl Cursor {
    /// At the end of a run; [`seek`](Self::seek) moves it. `ahead` blocks are read at a time: 1 to look rows up.
    pub(crate) fn new(run: Arc<Run>, ahead: u64) -> Self {
        let at = run.rows;
        Self { run, ahead, buffer: Vec::new(), from: 0, to: 0, at }
    }

    /// Moves to the first row whose key is `key` or greater, byte by byte; a prefix is less than what it begins.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        // Keys are mostly sought in their order, so the row is often among those that are held.
        if self.from < self.to && self.key_at(self.from) < key && key <= self.key_at(self.to - 1) {
            self.at = self.first_from(key, self.from, self.to);
            return Ok(());
        }
        let short = key.get(..FIRST).unwrap_or(key);
        let less = self.run.index.partition_point(|entry| entry.first.as_slice() < short);
        let mut block = less.saturating_sub(1) as u64;
        let per = per_block(self.run.width);
        loop {
            let (start, end) = (block * per, ((block + 1) * per).min(self.run.rows));
            if start >= self.run.rows {
                self.at = self.run.rows;
                return Ok(());
            }
            self.hold(block)?;
            let first = self.first_from(key, start, end);
            if first < end {
                self.at = first;
                return Ok(());
            }
            block += 1;
        }
    }

    /// The first of the rows `low..high`, which are held, whose key is `key` or greater; `high` if there is none.
    fn first_from(&self, key: &[u8], mut low: u64, mut high: u64) -> u64 {
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key_at(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Moves to the last row, if there is one.
    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.at = self.run.rows;
        self.retreat()
    }

    fn hold(&mut self, block: u64) -> Result<()> {
        let per = per_block(self.run.width);
        let start = block * per;
        if start >= self.from && start < self.to {
            return Ok(());
        }
        self.to = self.from;
        self.run.read(block, self.ahead, &mut self.buffer)?;
        self.from = start;
        self.to = start + (self.buffer.len() / self.run.width) as u64;
        Ok(())
    }

    fn row_at(&self, row: u64) -> &[u8] {
        let start = usize::try_from(row - self.from).unwrap_or(usize::MAX).saturating_mul(self.run.width);
        self.buffer.get(start..start + self.run.width).unwrap_or_default()
    }

    fn key_at(&self, row: u64) -> &[u8] {
        let row = self.row_at(row);
        row.get(..row.len().saturating_sub(COUNT)).unwrap_or_default()
    }

    /// The key it stands at; `None` past either end.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        (self.at < self.run.rows).then(|| self.key_at(self.at))
    }

    /// How often the row counts.
    pub(crate) fn count(&self) -> i32 {
        let row = self.row_at(self.at);
        let count = row.get(row.len().saturating_sub(COUNT)..).unwrap_or_default();
        i32::from(i16::from_le_bytes(count.try_into().unwrap_or_default()))
    }

    /// To the next row.
    pub(crate) fn advance(&mut self) -> Result<()> {
        self.at = self.at.saturating_add(1).min(self.run.rows);
        if self.at < self.run.rows && self.at >= self.to {
            self.hold(self.at / per_block(self.run.width))?;
        }
        Ok(())
    }

    /// To the row before; past the first one it stands nowhere.
    pub(crate) fn retreat(&mut self) -> Result<()> {
        match self.at.min(self.run.rows).checked_sub(1) {
            None => self.at = u64::MAX,
            Some(at) => {
                self.at = at;
                if at < self.from || at >= self.to {
                    let back = self.ahead.saturating_sub(1);
                    let block = at / per_block(self.run.width);
                    self.hold(block.saturating_sub(back))?;
                    // A reading that begins further back may not reach as far as the row.
                    if at >= self.to {
                        self.hold(block)?;
                    }
                }
            }
        }
        Ok(())
    }
}
