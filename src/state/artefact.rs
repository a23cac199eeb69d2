//! What the front made of a shard: signed fragments, and the ends of what went no further.
//!
//! ```text
//! artefacts/<name>                 the shard's rows, its notes, and what was read, in one file
//! artefacts/<name>.pieces/<group>  the same of one row group, until all of them are there
//! ```
//! **Why**: the front is a pure function of a shard and its settings, and reads all the text there is; so it is asked once. A
//! shard that is replaced differs from its old artefact in few rows, and only these go on. A run that is interrupted goes
//! on with the row groups that have no piece yet.
//!
//! The name is a hash of the shard's digest, its key (ids hold it) and the fingerprint of the settings of the front.

use super::codec::{self, Shape};
use super::damage::damaged;
use super::merge::Merge;
use super::run::{COUNT, Run, RunMeta, RunWriter};
use crate::error::{Error, Result};
use crate::model::{FragmentRow, Lang, Note, Place, Reason, Ruling, Signed, Stage, Verdict};
use crate::sink::file::{away, sync_file, sync_folder, unfinished};
use crate::sink::names::hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// What the front made of a shard, or of a part of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// Signed fragments. Their shard is not kept.
    pub(crate) rows: Vec<Signed>,
    /// Ends of rows and fragments.
    pub(crate) notes: Vec<Note>,
    /// Rows that were read, by the lang that the shard says.
    pub(crate) read: BTreeMap<Lang, i64>,
}

/// An artefact whose end was read. Its file is open only while its rows or notes are read, as a run looks at more shards than
/// a process may have files open.
#[derive(Debug, Clone)]
pub(crate) struct Artefact {
    path: PathBuf,
    rows: RunMeta,
    notes: RunMeta,
    read: BTreeMap<String, i64>,
}

/// The end of the file: what is where.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    rows: RunMeta,
    notes: RunMeta,
    read: BTreeMap<String, i64>,
}

/// Row, start.
const PLACE: usize = 8;
const NOTE: usize = PLACE + 2 + 3 + 8;

fn row_width(shape: Shape) -> usize {
    PLACE + 2 + 8 + 16 + shape.width()
}

/// The name of an artefact.
pub(crate) fn name_of(digest: u128, key: &str, front: u128) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(&digest.to_le_bytes());
    hasher.update(&front.to_le_bytes());
    hasher.update(key.as_bytes());
    hex(hasher.digest128())
}

/// Where the pieces of an artefact are gathered.
pub(crate) fn pieces(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pieces"))
}

impl Artefact {
    /// Opens one. `None` if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is damaged or unreadable.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(away("artefact unreadable", path, cause)),
        };
        let unreadable = |cause| away("artefact unreadable", path, cause);
        let altered = || damaged(path, "artefact altered");
        let length = file.metadata().map_err(unreadable)?.len();
        let mut end = [0; 24];
        file.read_exact_at(&mut end, length.checked_sub(24).ok_or_else(altered)?).map_err(unreadable)?;
        let mut bytes = end.as_slice();
        let size = u64::from_le_bytes(codec::take(&mut bytes));
        let check = u128::from_le_bytes(codec::take(&mut bytes));
        let start = length.checked_sub(24).and_then(|length| length.checked_sub(size)).ok_or_else(altered)?;
        let mut text = vec![0; usize::try_from(size).map_err(|_| altered())?];
        file.read_exact_at(&mut text, start).map_err(unreadable)?;
        if xxh3_128(&text) != check {
            return Err(altered());
        }
        let Trailer { rows, notes, read } =
            serde_json::from_slice(&text).map_err(|cause| altered().because(cause))?;
        Ok(Some(Self { path: path.to_owned(), rows, notes, read }))
    }

    fn run(&self, of: impl Fn(&Self) -> &RunMeta) -> Result<Arc<Run>> {
        Run::open_at(&self.path, of(self)).map(Arc::new)
    }

    /// Writes one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn write(path: &Path, made: &Made, shape: Shape) -> Result<()> {
        let (mut rows, mut notes) = (RunWriter::in_memory(row_width(shape)), RunWriter::in_memory(NOTE));
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(made.rows.len());
        for Signed { row, signature } in &made.rows {
            let mut key = Vec::with_capacity(row_width(shape));
            put_place(row.place, &mut key);
            codec::put_lang(row.lang, &mut key);
            key.extend_from_slice(&row.tick.to_be_bytes());
            key.extend_from_slice(&row.content.to_be_bytes());
            shape.put(signature, &mut key)?;
            keys.push(key);
        }
        keys.sort_unstable();
        keys.iter().try_for_each(|key| rows.push(key, 1))?;
        let mut keys: Vec<Vec<u8>> = made.notes.iter().map(note_key).collect();
        keys.sort_unstable();
        for same in keys.chunk_by(|a, b| a == b) {
            notes.push(&same[0], i32::try_from(same.len()).unwrap_or(i32::MAX))?;
        }
        let read = made.read.iter().map(|(lang, count)| (lang.tag().to_owned(), *count)).collect();
        assemble(path, rows, notes, read)
    }

    /// Makes one artefact of its pieces. They stay until [`settle`](Self::settle).
    ///
    /// # Errors
    /// A piece that is away or damaged, or a disk that does not take it.
    pub(crate) fn seal(
        folder: &Path,
        name: &str,
        groups: impl Iterator<Item = u32>,
        shape: Shape,
    ) -> Result<()> {
        let pieces = pieces(folder, name);
        let path = folder.join(name);
        let mut rows = RunWriter::new(row_width(shape), path.with_extension("rows.tmp"));
        let mut notes = RunWriter::in_memory(NOTE);
        let mut read: BTreeMap<String, i64> = BTreeMap::new();
        // Keys begin with the row, so pieces follow each other as row groups do.
        for group in groups {
            let path = pieces.join(group.to_string());
            let piece = Self::open(&path)?.ok_or_else(|| damaged(&path, "piece of an artefact missing"))?;
            rows.append(&*piece.run(|piece| &piece.rows)?)?;
            notes.append(&*piece.run(|piece| &piece.notes)?)?;
            for (lang, count) in piece.read {
                *read.entry(lang).or_default() += count;
            }
        }
        assemble(&path, rows, notes, read)
    }

    /// Waits until the disk has an artefact, then removes its pieces.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it.
    pub(crate) fn settle(folder: &Path, name: &str) -> Result<()> {
        sync_file(&folder.join(name))?;
        sync_folder(folder)?;
        let pieces = pieces(folder, name);
        if pieces.is_dir() {
            fs::remove_dir_all(&pieces).map_err(|cause| away("folder not removed", &pieces, cause))?;
        }
        Ok(())
    }

    /// Whether there is one, and all of it is as it was written.
    pub(crate) fn is_whole(path: &Path) -> bool {
        Self::open(path).ok().flatten().is_some_and(|there| there.verify().is_ok())
    }

    /// Fragments of the shard.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.rows
    }

    /// One of `many` shares of the rows of a shard, that each row is in one of: the share of this number, from 0.
    pub(crate) fn share(old: Option<&Self>, new: Option<&Self>, number: usize, many: usize) -> Share {
        // Rows that are cut are counted as they are read, and others have one fragment each. Those that could not be read
        // are counted nowhere: where there are many, the last share is larger.
        let rows = new.or(old).map_or(0, |artefact| match artefact.read.values().sum() {
            0 => artefact.rows(),
            read => u64::try_from(read).unwrap_or(0),
        });
        let bound = |number: usize| {
            let bound = u128::from(rows) * number as u128 / many.max(1) as u128;
            u32::try_from(bound).unwrap_or(u32::MAX)
        };
        (bound(number), (number + 1 < many).then(|| bound(number + 1)))
    }

    /// Rows that were read, by the lang that the shard says.
    pub(crate) fn read(&self) -> BTreeMap<Lang, i64> {
        let lang = |tag: &str| Lang::from_tag(tag).unwrap_or(Lang::UND);
        let mut read = BTreeMap::new();
        for (tag, count) in &self.read {
            *read.entry(lang(tag)).or_default() += count;
        }
        read
    }

    /// Reads it all and checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) that names it if it is damaged.
    pub(crate) fn verify(&self) -> Result<()> {
        self.run(|of| &of.rows)?.verify()?;
        self.run(|of| &of.notes)?.verify()
    }
}

/// Rows of a shard, from one on and up to another.
pub(crate) type Share = (u32, Option<u32>);
/// Every row.
pub(crate) const ALL: Share = (0, None);

/// Gives the rows in which two artefacts of a shard differ: those of `new` at +1, those of `old` at −1; of the rows of the
/// shard that are in `share`.
///
/// # Errors
/// Damage, a disk that fails, and what `give` returns.
pub(crate) fn rows_between(
    old: Option<&Artefact>,
    new: Option<&Artefact>,
    shard: u32,
    share: Share,
    shape: Shape,
    mut give: impl FnMut(Signed, isize) -> Result<()>,
) -> Result<()> {
    differ(
        old,
        new,
        |of| &of.rows,
        share,
        |key, count| {
            let mut key = key;
            let place = place_of(&mut key, shard);
            let lang = codec::lang(&mut key);
            let tick = u64::from_be_bytes(codec::take(&mut key));
            let content = u128::from_be_bytes(codec::take(&mut key));
            let signature = shape.take(&mut key);
            give(Signed { row: FragmentRow { place, lang, content, tick }, signature }, count as isize)
        },
    )
}

/// As [`rows_between`], of the notes.
///
/// # Errors
/// As [`rows_between`].
pub(crate) fn notes_between(
    old: Option<&Artefact>,
    new: Option<&Artefact>,
    shard: u32,
    share: Share,
    mut give: impl FnMut(Note, isize) -> Result<()>,
) -> Result<()> {
    differ(
        old,
        new,
        |of| &of.notes,
        share,
        |key, count| {
            let note = note_of(key, shard).ok_or_else(|| Error::bug("note of an artefact not understood"))?;
            give(note, count as isize)
        },
    )
}

fn differ(
    old: Option<&Artefact>,
    new: Option<&Artefact>,
    what: impl Fn(&Artefact) -> &RunMeta,
    (from, to): Share,
    mut give: impl FnMut(&[u8], i32) -> Result<()>,
) -> Result<()> {
    let mut runs: Vec<(Arc<Run>, i32)> = Vec::with_capacity(2);
    for (artefact, sign) in [(old, -1), (new, 1)] {
        if let Some(artefact) = artefact {
            runs.push((artefact.run(&what)?, sign));
        }
    }
    let mut merge = Merge::signed(&runs, &from.to_be_bytes(), 16)?;
    // A key begins with its row.
    let end = to.map(u32::to_be_bytes);
    while merge.next()? && end.is_none_or(|end| merge.key() < end.as_slice()) {
        give(merge.key(), merge.count())?;
    }
    Ok(())
}

fn assemble(path: &Path, rows: RunWriter, notes: RunWriter, read: BTreeMap<String, i64>) -> Result<()> {
    let temporary = path.with_extension(unfinished().trim_start_matches('.'));
    let failed = |cause| away("artefact not written", path, cause);
    let width = |writer: &RunWriter| writer.width();
    let widths = (width(&rows), width(&notes));
    let (rows, rows_meta) = rows.finish()?;
    let (notes, _) = notes.finish()?;
    let mut file = if let Some((bytes, _)) = rows.packed() {
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file
    } else {
        fs::rename(rows.path(), &temporary).map_err(failed)?;
        File::options().append(true).open(&temporary).map_err(failed)?
    };
    let meta = |run: &Run, width: usize, offset: u64| {
        let check = run.packed().map_or(0, |(_, check)| check);
        RunMeta { file: String::new(), offset, rows: run.rows(), width, check }
    };
    let rows_meta = rows_meta.unwrap_or_else(|| meta(&rows, widths.0, 0));
    let rows_meta = RunMeta { file: String::new(), ..rows_meta };
    let notes_meta = meta(&notes, widths.1, rows_meta.bytes());
    let (bytes, _) = notes.packed().unwrap_or_default();
    let trailer = Trailer { rows: rows_meta, notes: notes_meta, read };
    let text =
        serde_json::to_vec(&trailer).map_err(|cause| Error::bug("artefact not encoded").because(cause))?;
    let end = [(text.len() as u64).to_le_bytes().as_slice(), &xxh3_128(&text).to_le_bytes()].concat();
    file.write_all(&[bytes, text, end].concat()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

fn put_place(place: Place, key: &mut Vec<u8>) {
    key.extend_from_slice(&place.row.to_be_bytes());
    key.extend_from_slice(&place.start.to_be_bytes());
}

fn place_of(key: &mut &[u8], shard: u32) -> Place {
    Place { shard, row: u32::from_be_bytes(codec::take(key)), start: u32::from_be_bytes(codec::take(key)) }
}

fn note_key(note: &Note) -> Vec<u8> {
    let mut key = Vec::with_capacity(NOTE);
    put_place(note.place, &mut key);
    codec::put_lang(note.lang, &mut key);
    put_verdict(note.verdict, &mut key);
    debug_assert_eq!(key.len() + COUNT, NOTE + COUNT);
    key
}

fn note_of(mut key: &[u8], shard: u32) -> Option<Note> {
    let place = place_of(&mut key, shard);
    Some(Note { place, lang: codec::lang(&mut key), verdict: verdict_of(&mut key)? })
}

/// Bytes of a verdict.
pub(crate) const VERDICT: usize = 3 + 8;

/// Writes a verdict. The numbers of stages and reasons hold as long as the version of the state does.
pub(crate) fn put_verdict(verdict: Verdict, key: &mut Vec<u8>) {
    let small = |at: Option<usize>| at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
    key.push(small(Stage::ALL.iter().position(|stage| *stage == verdict.stage)));
    key.push(small(RULINGS.iter().position(|ruling| *ruling == verdict.ruling)));
    key.push(small(Reason::ALL.iter().position(|reason| *reason == verdict.reason)));
    key.extend_from_slice(&verdict.value.to_be_bytes());
}

/// Reads a verdict.
pub(crate) fn verdict_of(key: &mut &[u8]) -> Option<Verdict> {
    let [stage, ruling, reason] = codec::take::<3>(key).map(usize::from);
    Some(Verdict {
        stage: *Stage::ALL.get(stage)?,
        ruling: *RULINGS.get(ruling)?,
        reason: *Reason::ALL.get(reason)?,
        value: i64::from_be_bytes(codec::take(key)),
    })
}

const RULINGS: [Ruling; 3] = [Ruling::Kept, Ruling::Dropped, Ruling::Faulted];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    fn made(rows: &[(u32, u128)]) -> Made {
        let lang = Lang::from_tag("por_Latn").expect("in the table");
        let signed = |(row, content): &(u32, u128)| Signed {
            row: FragmentRow {
                place: Place::of_row(7, *row),
                lang,
                content: *content,
                tick: u64::from(*row) * 3,
            },
            signature: Signature { bands: vec![u64::from(*row)], sketch: vec![9, 8] },
        };
        let note = |(row, _): &(u32, u128)| Note {
            place: Place::of_row(7, *row + 1),
            lang,
            verdict: Verdict::dropped(Stage::Quality, Reason::Links, 0.5),
        };
        Made {
            rows: rows.iter().map(signed).collect(),
            notes: rows.iter().map(note).collect(),
            read: [(lang, 2 * i64::try_from(rows.len()).expect("few"))].into(),
        }
    }

    const SHAPE: Shape = Shape { bands: 2, sketch: 2 };

    #[test]
    fn pieces_become_an_artefact_and_two_of_them_their_difference() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (made(&[(1, 10), (5, 50)]), made(&[(9, 90)]));
        let place = pieces(folder.path(), "a");
        fs::create_dir(&place).expect("made");
        for (group, made) in [(0, &one), (3, &other)] {
            Artefact::write(&place.join(group.to_string()), made, SHAPE).expect("written");
        }
        Artefact::seal(folder.path(), "a", [0, 3].into_iter(), SHAPE).expect("sealed");
        assert!(place.is_dir(), "pieces stay until the disk has the whole");
        Artefact::settle(folder.path(), "a").expect("settled");
        assert!(!place.exists());
        let old = Artefact::open(&folder.path().join("a")).expect("whole").expect("there");
        old.verify().expect("whole");
        assert_eq!((old.rows(), old.read().values().sum::<i64>()), (3, 6));
        let changed = made(&[(1, 10), (5, 51), (9, 90)]);
        Artefact::write(&folder.path().join("b"), &changed, SHAPE).expect("written");
        let new = Artefact::open(&folder.path().join("b")).expect("whole").expect("there");
        let mut rows = Vec::new();
        let gather = |signed: Signed, diff| {
            rows.push((signed.row.place, signed.row.content, signed.signature.bands[0], diff));
            Ok(())
        };
        rows_between(Some(&old), Some(&new), 7, ALL, SHAPE, gather).expect("read");
        assert_eq!(rows, [(Place::of_row(7, 5), 50, 5, -1), (Place::of_row(7, 5), 51, 5, 1)]);
        for many in 1..6 {
            let mut shares = Vec::new();
            for number in 0..many {
                let share = Artefact::share(Some(&old), Some(&new), number, many);
                let gather = |signed: Signed, diff| {
                    shares.push((signed.row.place, signed.row.content, signed.signature.bands[0], diff));
                    Ok(())
                };
                rows_between(Some(&old), Some(&new), 7, share, SHAPE, gather).expect("read");
            }
            assert_eq!(shares, rows, "each row is in one of {many} shares");
        }
        for many in 1..4 {
            let mut notes = Vec::new();
            for number in 0..many {
                let share = Artefact::share(None, Some(&new), number, many);
                let gather = |note, diff| {
                    notes.push((note, diff));
                    Ok(())
                };
                notes_between(None, Some(&new), 7, share, gather).expect("read");
            }
            assert_eq!(notes, changed.notes.iter().map(|note| (*note, 1)).collect::<Vec<_>>());
        }
        assert!(Artefact::open(&folder.path().join("c")).expect("away").is_none());
        let path = folder.path().join("b");
        let mut bytes = fs::read(&path).expect("read");
        let length = bytes.len();
        bytes[length - 40] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert!(Artefact::open(&path).expect_err("altered").to_string().contains("remedy="));
    }
}
