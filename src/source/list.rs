//! The wanted shards: files, folders and globs to a sorted list of keys.
//!
//! **Why**: a shard's key is part of every fragment's id and decides which duplicate survives, so it is the
//! path as the person gave it, never an absolute one, and the order is that of the keys alone. A file that
//! two inputs reach counts once, under its least key.

use crate::error::{Error, Result};
use crate::workers::in_parallel;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh3::Xxh3;

/// One wanted Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its path as given or matched, with forward slashes.
    pub key: String,
    /// Where it is opened.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970; 0 where the file system does not say.
    pub modified_ns: u128,
}

/// Lists the shards of `inputs`, sorted by key. An input is a file (whatever its name), a folder (all `*.parquet`
/// and `*.parq` under it) or a glob (`**` crosses folders). Names that start with `.` or `_` are skipped unless
/// the input itself spells them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if an input is missing, is no pattern, or matches no shard;
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a folder or a file cannot be looked at.
pub fn list(inputs: &[String]) -> Result<Vec<Shard>> {
    let mut found = BTreeMap::new();
    for input in inputs {
        let mut matched = Vec::new();
        let path = Path::new(input);
        if input.is_empty() {
            return Err(none("input is empty", input));
        } else if path.is_dir() {
            walk(path, &mut BTreeSet::new(), &mut matched)?;
        } else if path.exists() {
            matched.push(path.to_path_buf());
        } else if input.contains(['*', '?', '[']) {
            expand(input, &mut matched)?;
        } else {
            return Err(none("input missing", input));
        }
        if matched.is_empty() {
            return Err(none("input matches no shard", input));
        }
        for path in matched {
            found.insert(key_of(&path)?, path);
        }
    }
    let mut seen = BTreeSet::new();
    let mut shards = Vec::with_capacity(found.len());
    for (key, path) in found {
        // In key order, so the least key of a file that has several is the one that stays.
        let real = fs::canonicalize(&path).map_err(|cause| away(&path, cause))?;
        if seen.insert(real) {
            shards.push(shard_of(key, path)?);
        }
    }
    Ok(shards)
}

/// Bytes of a file that one thread hashes.
const BLOCK: u64 = 16 << 20;

/// The digest of each shard, computed on up to `threads` threads: the 128-bit xxh3 of a file of up to 16 MiB; of a larger one,
/// that of the little-endian hashes of its blocks of 16 MiB, so that one large file keeps all threads busy.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a file cannot be read to its end.
pub fn digests(shards: &[&Shard], threads: usize) -> Result<Vec<u128>> {
    let blocks_of = |shard: &Shard| shard.bytes.div_ceil(BLOCK).max(1);
    let blocks: Vec<(&Shard, u64)> =
        shards.iter().flat_map(|shard| (0..blocks_of(shard)).map(move |block| (*shard, block))).collect();
    let mut hashes = in_parallel("digest", blocks.len(), threads, |at| {
        let (shard, block) = blocks[at];
        block_hash(shard, block).map_err(|cause| away(&shard.path, cause))
    })?
    .into_iter();
    let digest = |shard: &&Shard| match blocks_of(shard) {
        1 => hashes.next().unwrap_or_default(),
        many => {
            let mut all = Xxh3::new();
            (0..many).zip(&mut hashes).for_each(|(_, hash)| all.update(&hash.to_le_bytes()));
            all.digest128()
        }
    };
    Ok(shards.iter().map(digest).collect())
}

fn block_hash(shard: &Shard, block: u64) -> io::Result<u128> {
    let mut file = File::open(&shard.path)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(block * BLOCK))?;
    let mut left = BLOCK.min(shard.bytes - (block * BLOCK).min(shard.bytes));
    let mut hasher = Xxh3::new();
    // A piece that stays in the cache between its reading and its hashing.
    let mut piece = vec![0; 1 << 18];
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        file.read_exact(&mut piece[..some])?;
        hasher.update(&piece[..some]);
        left -= some as u64;
    }
    Ok(hasher.digest128())
}

fn shard_of(key: String, path: PathBuf) -> Result<Shard> {
    let meta = fs::metadata(&path).map_err(|cause| away(&path, cause))?;
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(Shard { key, path, bytes: meta.len(), modified_ns: modified.map_or(0, |since| since.as_nanos()) })
}

/// Every shard under a folder. Links are followed; `above` holds the folders it is in, so a link to one of
/// them ends there.
fn walk(folder: &Path, above: &mut BTreeSet<PathBuf>, matched: &mut Vec<PathBuf>) -> Result<()> {
    let real = fs::canonicalize(folder).map_err(|cause| away(folder, cause))?;
    if !above.insert(real.clone()) {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|cause| away(folder, cause))? {
        let path = entry.map_err(|cause| away(folder, cause))?.path();
        if hidden(&path) {
            continue;
        }
        if path.is_dir() {
            walk(&path, above, matched)?;
        } else if is_parquet(&path) {
            matched.push(path);
        }
    }
    above.remove(&real);
    Ok(())
}

/// Every match of a glob: a shard, or all shards under a folder that matches.
fn expand(pattern: &str, matched: &mut Vec<PathBuf>) -> Result<()> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(pattern, options).map_err(|cause| {
        Error::config(format!(
            "input is no glob: input={pattern}, at={}, remedy=quote `[`, `*` and `?` as `[[]`, `[*]` and `[?]`",
            cause.pos
        ))
        .because(cause)
    })?;
    // What stands before the first wildcard was spelled out by the person, and so was any `_` after it.
    let wild = |part: &&str| part.contains(['*', '?', '[']);
    let fixed = pattern.split('/').take_while(|part| !wild(part)).filter(|part| *part != ".").count();
    let spelled = pattern.split('/').skip_while(|part| !wild(part)).any(|part| part.starts_with('_'));
    for path in paths {
        let path = path.map_err(|cause| {
            let at = cause.path().to_path_buf();
            away(&at, cause.into())
        })?;
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let mut below = parts.skip(fixed).map(|part| part.as_os_str().to_string_lossy());
        if !spelled && below.any(|part| part.starts_with('_')) {
            continue;
        }
        if path.is_dir() {
            walk(&path, &mut BTreeSet::new(), matched)?;
        } else if is_parquet(&path) {
            matched.push(path);
        }
    }
    Ok(())
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

fn is_parquet(path: &Path) -> bool {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    end.is_some_and(|end| end == "parquet" || end == "parq")
}

/// The path with forward slashes and without `.` parts. `..` stays: what it means depends on links.
fn key_of(path: &Path) -> Result<String> {
    let mut key = String::new();
    for part in path.components() {
        let text = match part {
            Component::CurDir => continue,
            Component::RootDir => {
                key.push('/');
                continue;
            }
            other => other.as_os_str().to_str(),
        };
        let text = text.ok_or_else(|| {
            Error::config(format!(
                "shard name is not UTF-8: path={}, remedy=rename it, since names are part of ids",
                path.display()
            ))
        })?;
        if !key.is_empty() && !key.ends_with('/') {
            key.push('/');
        }
        key.push_str(text);
    }
    Ok(key)
}

fn none(what: &str, input: &str) -> Error {
    Error::config(format!(
        "{what}: key=input, value={input:?}, remedy=name a Parquet file, a folder that holds some, or a glob as in data/**/*.parquet"
    ))
}

fn away(path: &Path, cause: io::Error) -> Error {
    Error::unavailable(format!("input unreadable: path={}", path.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use xxhash_rust::xxh3::xxh3_128;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "b/2.parquet",
            "b/1.parq",
            "b/deep/er/3.PARQUET",
            "b/_SUCCESS",
            "b/.hidden.parquet",
            "b/_audit/4.parquet",
            "b/.git/5.parquet",
            "b/notes.txt",
            "a.parquet",
            "odd.bin",
            "part[1].parquet",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        root
    }

    /// The keys of inputs under the root, without it.
    fn keys(root: &Path, inputs: &[&str]) -> Vec<String> {
        let full: Vec<String> = inputs.iter().map(|input| format!("{}/{input}", root.display())).collect();
        let shards = list(&full).unwrap();
        let base = format!("{}/", root.display());
        shards.iter().map(|shard| shard.key.strip_prefix(&base).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_folder_is_all_its_shards_and_nothing_else() {
        let root = tree();
        assert_eq!(keys(root.path(), &["b"]), ["b/1.parq", "b/2.parquet", "b/deep/er/3.PARQUET"]);
        assert_eq!(keys(root.path(), &["b/_audit"]), ["b/_audit/4.parquet"]);
        assert_eq!(keys(root.path(), &["odd.bin"]), ["odd.bin"]);
    }

    #[test]
    fn a_glob_crosses_folders_and_skips_what_a_folder_skips() {
        let root = tree();
        let deep = ["a.parquet", "b/2.parquet", "part[1].parquet"];
        assert_eq!(keys(root.path(), &["**/*.parquet"]), deep);
        assert_eq!(keys(root.path(), &["b/*/er/*"]), ["b/deep/er/3.PARQUET"]);
        assert_eq!(keys(root.path(), &["b/_*/*.parquet"]), ["b/_audit/4.parquet"]);
        assert_eq!(keys(root.path(), &["b/_audit/*.parquet"]), ["b/_audit/4.parquet"]);
        assert_eq!(keys(root.path(), &["b/d*"]), ["b/deep/er/3.PARQUET"]);
        assert_eq!(keys(root.path(), &["b/?.par*"]), ["b/1.parq", "b/2.parquet"]);
        assert_eq!(keys(root.path(), &["part[1].parquet"]), ["part[1].parquet"]);
    }

    #[test]
    fn a_file_counts_once_whatever_reaches_it() {
        let root = tree();
        let twice = ["b/2.parquet", "./b//2.parquet", "b/../b/2.parquet", "b/*.parquet"];
        assert_eq!(keys(root.path(), &twice), ["b/../b/2.parquet"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.path().join("b"), root.path().join("b/deep/loop")).unwrap();
            assert_eq!(keys(root.path(), &["b"]).len(), 3);
        }
    }

    #[test]
    fn keys_are_as_given_less_the_dots() {
        assert_eq!(key_of(Path::new("./a/./b//c.parquet")).unwrap(), "a/b/c.parquet");
        assert_eq!(key_of(Path::new("/a/b")).unwrap(), "/a/b");
        assert_eq!(key_of(Path::new("../a")).unwrap(), "../a");
    }

    #[test]
    fn what_matches_nothing_is_named() {
        let root = tree();
        for (input, told) in [
            ("absent.parquet", "input missing"),
            ("b/*.csv", "input matches no shard"),
            ("b/***", "input is no glob"),
        ] {
            let error = list(&[format!("{}/{input}", root.path().display())]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().starts_with(told) && error.to_string().contains("remedy="), "{error}");
        }
        assert!(list(&[String::new()]).is_err());
    }

    #[test]
    fn a_digest_is_that_of_the_whole_file() {
        let root = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|i| (i * 7 % 251) as u8).collect();
        let path = root.path().join("a.parquet");
        fs::write(&path, &bytes).unwrap();
        let shard = list(&[path.display().to_string()]).unwrap().remove(0);
        assert_eq!(digests(&[&shard], 2).unwrap(), [xxh3_128(&bytes)]);
        assert_eq!(shard.bytes, 3_000_001);
        assert!(shard.modified_ns > 0);
    }

    #[test]
    fn the_digest_of_a_large_file_is_that_of_its_blocks() {
        let root = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..(33_u32 << 20) + 5).map(|i| (i * 7 % 251) as u8).collect();
        for (name, bytes) in [("a", &bytes[..]), ("b", &bytes[..16 << 20]), ("c", &[])] {
            fs::write(root.path().join(format!("{name}.parquet")), bytes).unwrap();
        }
        let shards = list(&[root.path().display().to_string()]).unwrap();
        let halves: Vec<u8> = bytes.chunks(1 << 24).flat_map(|block| xxh3_128(block).to_le_bytes()).collect();
        let expected = [xxh3_128(&halves), xxh3_128(&bytes[..16 << 20]), xxh3_128(&[])];
        let shards: Vec<&Shard> = shards.iter().collect();
        for threads in [1, 3] {
            assert_eq!(digests(&shards, threads).unwrap(), expected);
        }
        fs::write(&shards[0].path, &bytes[1..]).unwrap();
        let error = digests(&shards, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "a file that shrank: {error}");
    }
}
