//! A file that takes its name from its bytes, and appears only when it is whole.
//!
//! **Why**: equal rows give an equal file, so a rerun finds it there and writes nothing; a killed run leaves a
//! `.tmp` that the next one sweeps away, never half a part under a good name.

use super::names::{hex, stem};
use crate::error::{Error, Result};
use crate::llm::journal::drawn;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use xxhash_rust::xxh3::Xxh3;

/// The end of the name of a file that is not whole yet.
pub const TEMPORARY: &str = ".tmp";

/// The ending of this process's own, so that two processes never write one file: one that a run left behind may live for a
/// moment beside the next run.
pub(crate) fn unfinished() -> &'static str {
    static ENDING: OnceLock<String> = OnceLock::new();
    ENDING.get_or_init(|| format!(".{:016x}{TEMPORARY}", drawn()))
}

/// A file on its way.
pub struct ContentFile {
    file: BufWriter<File>,
    hasher: Xxh3,
    bytes: u64,
    folder: PathBuf,
    stem: String,
    temporary: PathBuf,
}

/// A file that is whole and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name: `<stem>-<hash>.parquet`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// 128-bit xxh3 of its bytes.
    pub hash: u128,
}

impl ContentFile {
    /// Starts a file for a shard in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder or the file cannot be made.
    pub fn create(folder: &Path, shard_key: &str) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|cause| away("folder not made", folder, cause))?;
        let stem = stem(shard_key);
        let temporary = folder.join(format!(".{stem}{}", unfinished()));
        let file = File::create(&temporary).map_err(|cause| away("file not made", &temporary, cause))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, file),
            hasher: Xxh3::new(),
            bytes: 0,
            folder: folder.to_owned(),
            stem,
            temporary,
        })
    }

    /// The path it has until it is whole.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes it durable and gives it its name. A file of that name has these bytes already and stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub fn finish(self) -> Result<Stored> {
        let Self { file, hasher, bytes, folder, stem, temporary } = self;
        let hash = hasher.digest128();
        let name = format!("{stem}-{}.parquet", hex(hash));
        let whole = folder.join(&name);
        let file = file.into_inner().map_err(|cause| away("file not written", &temporary, cause.into()))?;
        if fs::metadata(&whole).is_ok_and(|there| there.len() == bytes) {
            drop(file);
            fs::remove_file(&temporary).map_err(|cause| away("file not removed", &temporary, cause))?;
        } else {
            file.sync_all().map_err(|cause| away("file not written", &temporary, cause))?;
            fs::rename(&temporary, &whole).map_err(|cause| away("file not named", &whole, cause))?;
            sync_folder(&folder)?;
        }
        Ok(Stored { name, bytes, hash })
    }
}

impl Write for ContentFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Puts `bytes` under a name, whole or not at all, and waits until the disk has it.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with `what`, if the disk does not take it.
pub(crate) fn replace(what: &str, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(unfinished().trim_start_matches('.'));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|cause| away(what, path, cause))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Waits until the disk has the bytes of a file.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it does not take them.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    let opened = File::open(path).and_then(|file| file.sync_all());
    opened.map_err(|cause| away("file not written", path, cause))
}

/// Makes the names of a folder durable.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take them.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let opened = File::open(folder).and_then(|folder| folder.sync_all());
    opened.map_err(|cause| away("folder not written", folder, cause))
}

/// Size and 128-bit xxh3 of a file, read in pieces.
///
/// # Errors
/// Those of reading.
pub fn hash_of(path: &Path) -> io::Result<(u64, u128)> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3::new();
    let mut bytes = 0;
    let mut piece = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut piece) {
            Ok(0) => return Ok((bytes, hasher.digest128())),
            Ok(read) => {
                hasher.update(piece.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// The output folder did not do as told.
pub fn away(what: &str, path: &Path, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space and run again",
        io::ErrorKind::FileTooLarge => "a greater limit of file sizes (`ulimit -f`)",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "an output folder you may write to"
        }
        _ => "run again, what was published is whole",
    };
    Error::unavailable(format!("{what}: path={}, remedy={remedy}", path.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_one_file_and_nothing_temporary_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = |key: &str, bytes: &[u8]| {
            let mut file = ContentFile::create(folder.path(), key).expect("made");
            file.write_all(bytes).expect("written");
            file.finish().expect("whole")
        };
        let first = store("../a", b"one");
        let modified =
            fs::metadata(folder.path().join(&first.name)).and_then(|meta| meta.modified()).expect("there");
        assert_eq!(store("../a", b"one"), first);
        assert_ne!(store("../a", b"two").name, first.name);
        assert_eq!(hash_of(&folder.path().join(&first.name)).expect("read"), (3, first.hash));
        let again =
            fs::metadata(folder.path().join(&first.name)).and_then(|meta| meta.modified()).expect("there");
        assert_eq!(modified, again);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
    }
}
