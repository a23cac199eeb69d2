//! How the bytes of a shard are reached: positioned reads behind a trait, so that tests can break them.
//!
//! **Why**: a disk that fails and a file that is broken look the same to a decoder, but not to the person who
//! must act. The bytes' own failures are kept beside the decoder's, and tell the two apart.

use super::list::Shard;
use crate::error::Error;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that can be read anywhere.
pub trait Blob: Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// Whatever the store says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `into` with the bytes from `start` on.
    ///
    /// # Errors
    /// Whatever the store says; `UnexpectedEof` if there are too few.
    fn read_at(&self, start: u64, into: &mut [u8]) -> io::Result<()>;
}

/// Opens shards.
pub trait Open: Send + Sync {
    /// Opens one.
    ///
    /// # Errors
    /// Whatever the store says.
    fn open(&self, shard: &Shard) -> io::Result<Arc<dyn Blob>>;
}

/// Opens shards as files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Open for Files {
    fn open(&self, shard: &Shard) -> io::Result<Arc<dyn Blob>> {
        Ok(Arc::new(Mutex::new(File::open(&shard.path)?)))
    }
}

impl Blob for Mutex<File> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.lock().unwrap_or_else(PoisonError::into_inner).metadata()?.len())
    }

    fn read_at(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        let mut file = self.lock().unwrap_or_else(PoisonError::into_inner);
        io::Seek::seek(&mut *file, io::SeekFrom::Start(start))?;
        file.read_exact(into)
    }
}

/// A blob as the Parquet reader wants it.
#[derive(Clone)]
pub(super) struct Chunks {
    blob: Arc<dyn Blob>,
    size: u64,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Chunks {
    pub(super) fn new(shard: &Shard, open: &dyn Open) -> Result<Self, Error> {
        let away = |cause| {
            Error::unavailable(format!("shard unreadable: path={}", shard.path.display())).because(cause)
        };
        let blob = open.open(shard).map_err(away)?;
        let size = blob.size().map_err(away)?;
        if size != shard.bytes {
            return Err(changed(&shard.key, &format!("bytes={size}, listed={}", shard.bytes)));
        }
        Ok(Self { blob, size, failed: Arc::default() })
    }

    /// What the store said when it failed, once.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fill(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        // A length beyond the end is the file's lie, not the store's failure.
        if start.checked_add(into.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.blob.read_at(start, into).map_err(|cause| {
            let told = io::Error::new(cause.kind(), cause.to_string());
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
            told
        })
    }
}

/// The error of a shard that is not what it was when the run began.
pub(super) fn changed(key: &str, facts: &str) -> Error {
    Error::corpus(format!(
        "shard changed while it was read: shard={key}, {facts}, remedy=leave shards alone during a run and run again"
    ))
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Only page headers are read this way.
        Ok(BufReader::with_capacity(1 << 10, From { chunks: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF(format!("bytes beyond the end: start={start}, length={length}")));
        }
        let mut bytes = vec![0; length];
        self.fill(start, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads on from a position.
pub(super) struct From {
    chunks: Chunks,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.chunks.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        self.chunks.fill(self.at, into.get_mut(..length).unwrap_or_default())?;
        self.at += length as u64;
        Ok(length)
    }
}
