//! What was answered and is not in the table yet: two files that take turns.
//!
//! **Why**: a commit waits for the disk, and an answer must outlive its process from the moment it is there. A record
//! is written at once and belongs to the system from then on, whatever becomes of the process; a commit makes it
//! outlive the machine as well. While the records of one file are committed, new ones go into the other.
//!
//! A record is: length of the value (u32), xxh3 of what follows (u64), key (u128), value; little-endian.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes before the value.
const HEAD: usize = 4 + 8 + 16;

/// An answer as the table has it.
pub(super) type Record = (u128, Vec<u8>);

/// The two files.
pub(super) struct Log {
    files: [File; 2],
    active: usize,
    /// Bytes of whole records in the active file.
    len: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Opens the files beside the journal, and gives the records that a killed process left in them.
    pub(super) fn open(journal: &Path) -> std::io::Result<(Self, Vec<Record>)> {
        let mut records = Vec::new();
        let mut open = |ending: &str| -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let path = journal.with_extension(ending);
            let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            records.extend(records_of(&bytes));
            Ok(file)
        };
        let files = [open("log-0")?, open("log-1")?];
        Ok((Self { files, active: 0, len: 0, buffer: Vec::new() }, records))
    }

    /// Empties both files: their records are in the table.
    pub(super) fn reset(&mut self) -> std::io::Result<()> {
        self.len = 0;
        self.clear(0)?;
        self.clear(1)
    }

    /// Writes a record. After an error the file is as it was before.
    pub(super) fn append(&mut self, key: u128, value: &[u8]) -> std::io::Result<()> {
        let len = u32::try_from(value.len()).map_err(std::io::Error::other)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&[0; 8]);
        self.buffer.extend_from_slice(&key.to_le_bytes());
        self.buffer.extend_from_slice(value);
        let hash = xxh3_64(self.buffer.get(12..).unwrap_or_default());
        if let Some(place) = self.buffer.get_mut(4..12) {
            place.copy_from_slice(&hash.to_le_bytes());
        }
        let Some(file) = self.files.get_mut(self.active) else { return Ok(()) };
        if let Err(cause) = file.write_all(&self.buffer) {
            // Half a record would hide what is written after it.
            file.set_len(self.len)?;
            file.seek(SeekFrom::Start(self.len))?;
            return Err(cause);
        }
        self.len += self.buffer.len() as u64;
        Ok(())
    }

    /// New records go into the other file from here on; gives the number of this one.
    pub(super) fn turn(&mut self) -> usize {
        self.len = 0;
        let full = self.active;
        self.active = 1 - full;
        full
    }

    /// Empties a file whose records are in the table.
    pub(super) fn clear(&mut self, which: usize) -> std::io::Result<()> {
        let Some(file) = self.files.get_mut(which) else { return Ok(()) };
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0)).map(drop)
    }
}

/// The whole records at the start of the bytes; a process that is killed while it writes leaves a part of one.
fn records_of(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let [l0, l1, l2, l3, hash @ ..] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let (Some(value), Some(hashed)) = (rest.get(..len), bytes.get(12..HEAD + len)) else { break };
        let (Some(hash), Some(key)) = (hash.first_chunk::<8>(), hash.last_chunk::<16>()) else { break };
        if u64::from_le_bytes(*hash) != xxh3_64(hashed) {
            break;
        }
        records.push((u128::from_le_bytes(*key), value.to_vec()));
        bytes = rest.get(len..).unwrap_or_default();
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_outlive_the_process_and_torn_ones_do_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.redb");
        let (mut log, found) = Log::open(&path).expect("made");
        assert!(found.is_empty());
        log.append(1, b"one").expect("written");
        let full = log.turn();
        log.append(u128::MAX, &[7; 5000]).expect("written");
        log.append(3, b"").expect("written");
        drop(log);
        let other = path.with_extension("log-1");
        let whole = std::fs::read(&other).expect("there");
        let all = [(1, b"one".to_vec()), (u128::MAX, vec![7; 5000]), (3, Vec::new())];
        for len in 0..=whole.len() {
            std::fs::write(&other, &whole[..len]).expect("cut");
            let (_, found) = Log::open(&path).expect("opened");
            let left = 1 + usize::from(len >= HEAD + 5000) + usize::from(len == whole.len());
            assert_eq!(found, all[..left], "cut to {len} bytes");
        }
        let mut flipped = whole.clone();
        flipped[HEAD + 9] ^= 1;
        std::fs::write(&other, &flipped).expect("damaged");
        let (mut log, found) = Log::open(&path).expect("opened");
        assert_eq!(found.len(), 1);
        log.clear(full).expect("emptied");
        log.reset().expect("emptied");
        assert!(Log::open(&path).expect("opened").1.is_empty());
    }
}
