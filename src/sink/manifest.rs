//! What a snapshot holds and what it was made from; and how the wanted shards differ from that.
//!
//! **Why**: one file, written once with its snapshot, tells a reader which rows belong together, `verify` what to
//! compare, and the next run what is new. It holds no date and nothing of the machine, so equal work gives an
//! equal manifest and a rerun that changes nothing writes nothing.

use super::columns::Versions;
use super::names::{hash, tag};
use crate::config::Audit;
use crate::error::{Error, Result};
use crate::model::{Lang, Note, Place, Reason, Ruling, Stage, Verdict};
use crate::source::list::{self, Shard};
use crate::source::shard::Survey;
use crate::workers::cores;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Version of this file's form and of the layout of the folders.
pub const FORMAT: u32 = 1;

/// The file's name in a snapshot.
pub const NAME: &str = "manifest.json";

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Fingerprint of the settings that can change a row.
    #[serde(with = "hash")]
    pub fingerprint: u128,
    /// 128-bit xxh3 over (lang, hash of the part) in order: equal digests are equal rows.
    #[serde(with = "hash")]
    pub digest: u128,
    /// What made the rows.
    pub versions: Versions,
    /// What the audit holds.
    pub audit_mode: Audit,
    /// What they were made from, by key.
    pub shards: Vec<ShardEntry>,
    /// The parts, by (lang, shard).
    pub parts: Vec<Part>,
    /// The audit's files, by shard.
    pub audit: Vec<AuditFile>,
    /// Ends of rows and fragments by stage, lang, ruling and reason.
    pub counts: Vec<Count>,
}

/// A shard that the rows were made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Its key, as in the input list.
    pub key: String,
    /// 128-bit xxh3 of its bytes.
    #[serde(with = "hash")]
    pub digest: u128,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970: a hint that spares reading it, no part of what it is.
    pub modified_ns: u64,
    /// Its rows.
    pub rows: u64,
    /// The column that the text was read from; dots lead into structs.
    pub text_column: String,
}

/// The rows of one lang of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its lang, and the folder it stands in.
    #[serde(with = "tag")]
    pub lang: Lang,
    /// Key of its shard.
    pub shard: String,
    /// Digest of its shard.
    #[serde(with = "hash")]
    pub digest: u128,
    /// Its rows; with none there is no file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Name of the file; empty where there is none.
    pub name: String,
    /// 128-bit xxh3 of the file.
    #[serde(with = "hash")]
    pub hash: u128,
    /// Fingerprint of what was selected of the shard, and of all that made rows of it: see `parts::Selected`.
    #[serde(with = "hash")]
    pub selected: u128,
    /// A row is missing because an endpoint gave up on it: worth another try.
    pub transient_faults: bool,
    /// Rows by licence, as the source says it; at most 32, the others under `(other)`.
    pub licenses: BTreeMap<String, u64>,
    /// Selected rows that ended here.
    pub ended: Vec<Ended>,
}

/// A selected row that did not become a row of the output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ended(u32, u32, String, String, String, i64);

impl Ended {
    /// Of a verdict.
    pub fn new(place: Place, verdict: Verdict) -> Self {
        let name = str::to_owned;
        let (stage, ruling) = (name(verdict.stage.name()), name(verdict.ruling.name()));
        Self(place.row, place.start, stage, ruling, name(verdict.reason.name()), verdict.value)
    }

    /// Its row in the shard.
    pub(crate) fn row(&self) -> u32 {
        self.0
    }

    /// As a note of the shard that stands at `shard` in this run; `None` if a name is of another version.
    pub fn note(&self, shard: u32, lang: Lang) -> Option<Note> {
        let verdict = Verdict {
            stage: stage_of(&self.2)?,
            ruling: ruling_of(&self.3)?,
            reason: reason_of(&self.4)?,
            value: self.5,
        };
        Some(Note { place: Place { shard, row: self.0, start: self.1 }, lang, verdict })
    }
}

/// The stage of this name.
pub fn stage_of(name: &str) -> Option<Stage> {
    Stage::ALL.into_iter().find(|stage| stage.name() == name)
}

/// The ruling of this name.
pub fn ruling_of(name: &str) -> Option<Ruling> {
    [Ruling::Kept, Ruling::Dropped, Ruling::Faulted].into_iter().find(|ruling| ruling.name() == name)
}

/// The reason of this name.
pub fn reason_of(name: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.name() == name)
}

/// The notes of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditFile {
    /// Key of the shard.
    pub shard: String,
    /// Its rows.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Name of the file.
    pub name: String,
    /// 128-bit xxh3 of the file.
    #[serde(with = "hash")]
    pub hash: u128,
}

/// How many rows or fragments ended alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Where.
    pub stage: String,
    /// Their lang.
    pub lang: String,
    /// Kept, dropped or faulted.
    pub ruling: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// How the wanted shards differ from a manifest, by key. In JSON the unchanged ones are a count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Delta {
    /// Wanted and new.
    pub added: Vec<String>,
    /// Wanted, with other bytes than before.
    pub replaced: Vec<String>,
    /// No longer wanted.
    pub removed: Vec<String>,
    /// As before.
    #[serde(serialize_with = "count")]
    pub unchanged: Vec<String>,
}

/// The entry of a shard in a list that is sorted by key.
pub fn entry_of<'a>(shards: &'a [ShardEntry], key: &str) -> Option<&'a ShardEntry> {
    let at = shards.binary_search_by(|shard| shard.key.as_str().cmp(key));
    at.ok().and_then(|at| shards.get(at))
}

/// The shards as a manifest will name them. A shard whose size and time of writing are as in the manifest before
/// (`known`, sorted by key) is taken to be the same; any other one is read once for its digest.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a shard cannot be read to its end.
pub fn entries(shards: &[Shard], surveys: &[Survey], known: &[ShardEntry]) -> Result<Vec<ShardEntry>> {
    let digests = digests(shards, known)?;
    let entry = |((shard, survey), digest): ((&Shard, &Survey), u128)| ShardEntry {
        key: shard.key.clone(),
        digest,
        bytes: shard.bytes,
        modified_ns: modified_ns(shard),
        rows: u64::from(survey.rows),
        text_column: survey.text_column.clone(),
    };
    Ok(shards.iter().zip(surveys).zip(digests).map(entry).collect())
}

fn digests(shards: &[Shard], known: &[ShardEntry]) -> Result<Vec<u128>> {
    let same = |shard: &Shard| {
        let modified_ns = modified_ns(shard);
        let same = entry_of(known, &shard.key)?;
        let stands = same.bytes == shard.bytes && same.modified_ns == modified_ns && modified_ns != 0;
        stands.then_some(same.digest)
    };
    let same: Vec<Option<u128>> = shards.iter().map(same).collect();
    let read: Vec<&Shard> =
        shards.iter().zip(&same).filter(|(_, same)| same.is_none()).map(|(shard, _)| shard).collect();
    let mut read = list::digests(&read, cores())?.into_iter();
    Ok(same.into_iter().filter_map(|same| same.or_else(|| read.next())).collect())
}

fn modified_ns(shard: &Shard) -> u64 {
    u64::try_from(shard.modified_ns).unwrap_or(0)
}

impl Manifest {
    /// Puts everything in order and computes the digest.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.format = FORMAT;
        self.shards.sort_by(|a, b| a.key.cmp(&b.key));
        self.parts.sort();
        self.audit.sort();
        self.counts.sort();
        let mut hasher = Xxh3::new();
        for part in self.parts.iter().filter(|part| part.rows > 0) {
            hasher.update(part.lang.tag().as_bytes());
            hasher.update(&part.hash.to_le_bytes());
        }
        self.digest = hasher.digest128();
        self
    }

    /// The manifest that readers of an output see; `None` where nothing was published yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it cannot be read, and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if another version of the program wrote it.
    pub fn load(output: &Path) -> Result<Option<Self>> {
        Self::read(&output.join(super::snapshot::CURRENT).join(NAME))
    }

    /// As [`load`](Self::load), of one file.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(super::file::away("manifest unreadable", path, cause)),
        };
        let parsed: Result<Self, _> = serde_json::from_str(&text);
        let unfit = || {
            format!(
                "manifest not understood: path={}, format={FORMAT}, remedy=another output folder, or the version \
                 of isogloss that wrote it",
                path.display()
            )
        };
        match parsed {
            Ok(manifest) if manifest.format == FORMAT => Ok(Some(manifest)),
            Ok(_) => Err(Error::config(unfit())),
            Err(cause) => Err(Error::config(unfit()).because(cause)),
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it cannot be written as JSON.
    pub fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|cause| Error::bug("manifest not encoded").because(cause))?;
        Ok(text + "\n")
    }

    /// Whether the two say the same, whenever the shards were last touched.
    pub fn same(&self, other: &Self) -> bool {
        let untouched = |manifest: &Self| {
            let mut manifest = manifest.clone();
            manifest.shards.iter_mut().for_each(|shard| shard.modified_ns = 0);
            manifest
        };
        untouched(self) == untouched(other)
    }

    /// What the state that belongs to this snapshot is named after: a hash of all that it says, whenever the shards were
    /// last touched.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn state_name(&self) -> Result<u128> {
        let mut manifest = self.clone();
        manifest.shards.iter_mut().for_each(|shard| shard.modified_ns = 0);
        Ok(xxhash_rust::xxh3::xxh3_128(manifest.text()?.as_bytes()))
    }

    /// The entry of a shard.
    pub fn shard(&self, key: &str) -> Option<&ShardEntry> {
        entry_of(&self.shards, key)
    }

    /// Rows by lang, of the langs that have some.
    pub fn rows_by_lang(&self) -> BTreeMap<Lang, u64> {
        let mut rows = BTreeMap::new();
        for part in self.parts.iter().filter(|part| part.rows > 0) {
            *rows.entry(part.lang).or_default() += part.rows;
        }
        rows
    }

    /// The parts of a shard, if they were made of this selection and no row of it is worth another try. What was
    /// selected of it need not be read, asked or written again.
    pub fn reusable(&self, shard_key: &str, selected: u128) -> Option<Vec<Part>> {
        let parts: Vec<Part> = self.parts.iter().filter(|part| part.shard == shard_key).cloned().collect();
        let known = |part: &Part| part.ended.iter().all(|ended| ended.note(0, part.lang).is_some());
        let good = |part: &Part| part.selected == selected && !part.transient_faults && known(part);
        (!parts.is_empty() && parts.iter().all(good)).then_some(parts)
    }

    /// Whether endpoints left a row without an answer anywhere: worth another run.
    pub fn has_transient_faults(&self) -> bool {
        let unanswered = |name: &str| Reason::ALL.iter().any(|r| r.name() == name && r.is_unanswered());
        let transient = |count: &Count| count.count > 0 && unanswered(&count.reason);
        self.parts.iter().any(|part| part.transient_faults) || self.counts.iter().any(transient)
    }

    /// How `wanted` differs from the shards of this manifest.
    pub fn delta(&self, wanted: &[ShardEntry]) -> Delta {
        Delta::between(&self.shards, wanted)
    }
}

fn count<S: serde::Serializer>(keys: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    keys.len().serialize(serializer)
}

impl Delta {
    /// How `wanted` differs from `known`, which is sorted by key.
    pub fn between(known: &[ShardEntry], wanted: &[ShardEntry]) -> Self {
        let mut delta = Self::default();
        for shard in wanted {
            let list = match entry_of(known, &shard.key) {
                None => &mut delta.added,
                Some(entry) if entry.digest == shard.digest => &mut delta.unchanged,
                Some(_) => &mut delta.replaced,
            };
            list.push(shard.key.clone());
        }
        let keys: BTreeSet<&str> = wanted.iter().map(|shard| shard.key.as_str()).collect();
        let gone = known.iter().filter(|shard| !keys.contains(shard.key.as_str()));
        delta.removed = gone.map(|shard| shard.key.clone()).collect();
        for list in [&mut delta.added, &mut delta.replaced, &mut delta.unchanged] {
            list.sort();
        }
        delta
    }

    /// Whether the wanted shards are those of the manifest.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.replaced.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shards: {} added, {} replaced, {} removed, {} unchanged",
            self.added.len(),
            self.replaced.len(),
            self.removed.len(),
            self.unchanged.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(key: &str, digest: u128) -> ShardEntry {
        ShardEntry { key: key.into(), digest, text_column: "text".into(), ..ShardEntry::default() }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let lang = Lang::from_tag("por_Latn").expect("in the table");
        let place = Place { shard: 4, row: 7, start: 9 };
        let verdict = Verdict::faulted(Stage::Localize, Reason::GaveUp, 1.5);
        let part = Part {
            lang,
            shard: "\"\\\u{202e}\0".into(),
            rows: 1,
            hash: u128::MAX,
            ended: vec![Ended::new(place, verdict)],
            ..Part::default()
        };
        let manifest =
            Manifest { parts: vec![part], shards: vec![shard("b", 1), shard("a", 2)], ..Manifest::default() };
        let manifest = manifest.sealed();
        std::fs::create_dir(folder.path().join("current")).expect("made");
        std::fs::write(folder.path().join("current").join(NAME), manifest.text().expect("JSON"))
            .expect("written");
        let read = Manifest::load(folder.path()).expect("readable").expect("there");
        assert_eq!(read, manifest);
        let note = read.parts[0].ended[0].note(4, lang).expect("known names");
        assert_eq!(note, Note { place, lang, verdict });
        std::fs::write(folder.path().join("current").join(NAME), "{\"format\":2}").expect("written");
        assert!(Manifest::load(folder.path()).expect_err("another form").to_string().contains("remedy="));
    }

    #[test]
    fn the_delta_compares_keys_and_digests() {
        let old =
            Manifest { shards: vec![shard("a", 1), shard("b", 1), shard("c", 1)], ..Manifest::default() };
        let mut touched = shard("a", 1);
        touched.modified_ns = 9;
        let delta = old.sealed().delta(&[shard("d", 1), touched, shard("b", 2)]);
        assert_eq!(delta.to_string(), "shards: 1 added, 1 replaced, 1 removed, 1 unchanged");
        assert_eq!(
            (delta.added, delta.replaced, delta.removed),
            (vec!["d".into()], vec!["b".into()], vec!["c".into()])
        );
    }

    #[test]
    fn the_digest_tells_langs_and_parts_apart() {
        let lang = |tag: &str| Lang::from_tag(tag).expect("in the table");
        let of = |parts: &[(&str, u128)]| {
            let part = |(tag, hash): &(&str, u128)| Part {
                lang: lang(tag),
                hash: *hash,
                rows: 1,
                ..Part::default()
            };
            Manifest { parts: parts.iter().map(part).collect(), ..Manifest::default() }.sealed().digest
        };
        assert_eq!(of(&[("por_Latn", 1), ("spa_Latn", 2)]), of(&[("spa_Latn", 2), ("por_Latn", 1)]));
        assert_ne!(of(&[("por_Latn", 1), ("spa_Latn", 2)]), of(&[("por_Latn", 2), ("spa_Latn", 1)]));
    }
}
