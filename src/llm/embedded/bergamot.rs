//! Finds Bergamot (Firefox) translation models in folders, by the names of their files.
//!
//! **Why**: people have these files as Firefox, Mozilla's repositories or translateLocally left them: flat or a
//! folder per pair, with one vocabulary or two. A pair is known by `enpt` in a file's name, or else in the
//! folder's (`en-pt`, `enpt-1693087644`, `ende.student.tiny11`).

use crate::error::{Error, Result};
use crate::model::Lang;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How deep folders are searched.
const DEPTH: usize = 5;

/// From, to.
pub(super) type Pair = (Lang, Lang);

/// The files of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) model: PathBuf,
    pub(super) source_vocabulary: PathBuf,
    pub(super) target_vocabulary: PathBuf,
    pub(super) shortlist: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Model,
    Vocabulary,
    Source,
    Target,
    Shortlist,
}

/// Every complete pair under `folder`. If a pair is there more than once, the folder first in order has it.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the folder cannot be read or holds no pair.
pub(super) fn pairs_in(folder: &Path) -> Result<BTreeMap<Pair, Files>> {
    let mut folders = Vec::new();
    search(folder, DEPTH, &mut folders)?;
    let mut pairs = BTreeMap::new();
    let mut some_packed = false;
    for (folder, files) in &folders {
        some_packed |= files.iter().any(|file| packed(file) && part_of(&name_of(file)).is_some());
        for (pair, files) in pairs_among(folder, files) {
            pairs.entry(pair).or_insert(files);
        }
    }
    if !pairs.is_empty() {
        return Ok(pairs);
    }
    let remedy = if some_packed {
        "unpack the .gz or .zst files there"
    } else {
        "name a folder with model.XXYY.intgemm.alphas.bin and vocab.XXYY.spm"
    };
    let folder = folder.display();
    Err(Error::config(format!(
        "no translation model found: key=translation_folders, value={folder}, remedy={remedy}"
    )))
}

fn search(folder: &Path, depth: usize, into: &mut Vec<(PathBuf, Vec<PathBuf>)>) -> Result<()> {
    let away = |cause: std::io::Error| {
        let folder = folder.display();
        let what = "folder of translation models unreadable: key=translation_folders";
        Error::config(format!("{what}, value={folder}, remedy=name a folder that is there")).because(cause)
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(away)? {
        paths.push(entry.map_err(away)?.path());
    }
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    into.push((folder.to_owned(), files));
    for folder in folders {
        if depth > 0 {
            search(&folder, depth - 1, into)?;
        }
    }
    Ok(())
}

/// The pairs among the files of one folder.
fn pairs_among(folder: &Path, files: &[PathBuf]) -> BTreeMap<Pair, Files> {
    let of_folder = pair_of(&name_of(folder));
    let mut found: BTreeMap<Option<Pair>, BTreeMap<Part, PathBuf>> = BTreeMap::new();
    for file in files {
        let name = name_of(file);
        if let Some(part) = part_of(&name).filter(|_| !packed(file)) {
            found.entry(pair_of(&name)).or_default().entry(part).or_insert_with(|| file.clone());
        }
    }
    // The model's own name is surest, then the folder's, then what its neighbours are called: one vocabulary may
    // serve both directions and be named after the other.
    let model = |found: &BTreeMap<Option<Pair>, BTreeMap<Part, PathBuf>>, pair| {
        found.get(&pair).is_some_and(|parts| parts.contains_key(&Part::Model))
    };
    if model(&found, None) {
        let only = found.keys().copied().flatten().next().filter(|_| found.len() == 2);
        if let Some(pair) = of_folder.or(only) {
            let parts = std::mem::take(&mut found).into_values().flatten().rev();
            found.insert(Some(pair), parts.collect());
        }
    } else if let [pair] = found.keys().copied().flatten().collect::<Vec<_>>()[..] {
        let nameless = found.remove(&None).unwrap_or_default();
        let parts = found.entry(Some(pair)).or_default();
        for (part, file) in nameless {
            parts.entry(part).or_insert(file);
        }
    }
    let complete = found.into_iter().filter_map(|(pair, parts)| Some((pair?, complete(&parts)?)));
    complete.collect()
}

fn complete(parts: &BTreeMap<Part, PathBuf>) -> Option<Files> {
    let part = |part: Part| parts.get(&part).cloned();
    Some(Files {
        model: part(Part::Model)?,
        source_vocabulary: part(Part::Source).or_else(|| part(Part::Vocabulary))?,
        target_vocabulary: part(Part::Target).or_else(|| part(Part::Vocabulary))?,
        shortlist: part(Part::Shortlist),
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn ends(name: &str, end: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(end))
}

fn packed(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "gz" || end == "zst")
}

/// What a file is, by its name.
fn part_of(name: &str) -> Option<Part> {
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    if ends(name, "spm") {
        return Some(match name {
            name if name.starts_with("src") || name.contains(".src.") => Part::Source,
            name if name.starts_with("trg") || name.contains(".trg.") => Part::Target,
            _ => Part::Vocabulary,
        });
    }
    let binary = ends(name, "bin");
    if binary && name.starts_with("lex") {
        return Some(Part::Shortlist);
    }
    (binary && name.contains("intgemm")).then_some(Part::Model)
}

/// The pair that a name spells: `vocab.enpt.spm`, `en-pt-tiny`, `enpt-1693087644`.
fn pair_of(name: &str) -> Option<Pair> {
    let words: Vec<&str> = name.split(['.', '-', '_']).collect();
    let joined = words.iter().find_map(|word| {
        let mut cuts = [2, 3].into_iter().filter_map(|at| Some((word.get(..at)?, word.get(at..)?)));
        cuts.find_map(|(from, to)| pair(from, to))
    });
    joined.or_else(|| words.array_windows::<2>().find_map(|[from, to]| pair(from, to)))
}

fn pair(from: &str, to: &str) -> Option<Pair> {
    let (from, to) = (lang(from)?, lang(to)?);
    (from != to).then_some((from, to))
}

/// The lang of a code as these files use them.
fn lang(code: &str) -> Option<Lang> {
    match code {
        "nb" => Lang::from_lid("no"),
        "iw" => Lang::from_lid("he"),
        code => Lang::from_lid(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair_named(from: &str, to: &str) -> Pair {
        (Lang::from_lid(from).unwrap(), Lang::from_lid(to).unwrap())
    }

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, []).unwrap();
        }
        folder
    }

    #[test]
    fn pairs_are_found_in_every_usual_layout() {
        let folder = folder_with(&[
            // As Firefox keeps them: flat, several pairs together.
            "flat/model.enes.intgemm.alphas.bin",
            "flat/vocab.enes.spm",
            "flat/lex.50.50.enes.s2t.bin",
            "flat/model.esen.intgemm.alphas.bin",
            "flat/vocab.esen.spm",
            // As Mozilla's repository: a folder per pair, two vocabularies.
            "tiny/enja/model.enja.intgemm.alphas.bin",
            "tiny/enja/srcvocab.enja.spm",
            "tiny/enja/trgvocab.enja.spm",
            "tiny/enja/lex.50.50.enja.s2t.bin",
            "tiny/enja/metadata.json",
            // As translateLocally: the folder or the vocabulary names the pair.
            "ende.student.tiny11/config.intgemm8bitalpha.yml",
            "ende.student.tiny11/model.intgemm.alphas.bin",
            "ende.student.tiny11/vocab.deen.spm",
            "ende.student.tiny11/lex.s2t.bin",
            "et-en-base/model.intgemm8.bin",
            "et-en-base/vocab.spm",
            // Not complete.
            "half/model.enfr.intgemm.alphas.bin",
            "readme.bin",
        ]);
        let pairs = pairs_in(folder.path()).unwrap();
        let deen = pair_named("de", "en");
        let expected =
            [pair_named("en", "es"), pair_named("es", "en"), pair_named("en", "ja"), pair_named("et", "en")];
        for pair in expected {
            assert!(pairs.contains_key(&pair), "{pair:?}");
        }
        // `vocab.deen.spm` names the wrong direction in `ende.student`: the folder's name is surer.
        assert!(pairs.contains_key(&pair_named("en", "de")) && !pairs.contains_key(&deen));
        assert_eq!(pairs.len(), 5);
        let japanese = &pairs[&pair_named("en", "ja")];
        assert!(japanese.source_vocabulary.ends_with("srcvocab.enja.spm"));
        assert!(japanese.target_vocabulary.ends_with("trgvocab.enja.spm"));
        assert!(japanese.shortlist.is_some());
        assert!(pairs[&pair_named("es", "en")].shortlist.is_none());
    }

    #[test]
    fn what_is_missing_or_packed_is_told_with_its_remedy() {
        let told = |folder: &Path| pairs_in(folder).unwrap_err().to_string();
        assert!(told(folder_with(&["readme.txt"]).path()).contains("name a folder with model"));
        let packed = folder_with(&["enpt/model.enpt.intgemm.alphas.bin.gz", "enpt/vocab.enpt.spm.gz"]);
        assert!(told(packed.path()).contains("unpack"));
        assert!(told(Path::new("/nowhere/at/all")).contains("key=translation_folders"));
    }

    #[test]
    fn names_spell_pairs() {
        for name in
            ["vocab.enpt.spm", "enpt-1693087644", "en-pt-tiny", "model.enpt.intgemm.alphas.bin", "en_pt"]
        {
            assert_eq!(pair_of(name), Some(pair_named("en", "pt")), "{name}");
        }
        assert_eq!(pair_of("nben"), Some(pair_named("no", "en")));
        for name in ["vocab.spm", "model.intgemm.alphas.bin", "lex.50.50.s2t.bin", "enen", "models", "ção"]
        {
            assert_eq!(pair_of(name), None, "{name}");
        }
    }
}
