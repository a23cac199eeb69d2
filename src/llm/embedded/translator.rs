//! Translation with Bergamot models: the pinned ones for Portuguese, and any that the user has.
//!
//! **Why**: each pair is loaded when it is first asked for, so a folder of a hundred pairs costs nothing until
//! then, and named by the digest of its files, so an answer is remembered for as long as they stay the same.

use super::bergamot::{Files, Pair, pairs_in};
use super::sentences::Sentences;
use crate::error::{Error, Result};
use crate::llm::models::{Cache, EN_PT, EN_PT_LEX, EN_PT_VOCAB, Model, PT_EN, PT_EN_LEX, PT_EN_VOCAB};
use crate::llm::{Answer, Refusal, Reply, Role, Usage};
use crate::model::{Lang, Reason};
use crate::sink::names::hex_of;
use fxtranslate::engine::Engine;
use fxtranslate::segment::MAX_SOURCE_TOKENS;
use fxtranslate::shortlist::Shortlist;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Changes whenever the same files would translate otherwise.
const VERSION: &str = "mt1";
/// The longest text, in bytes: far above any fragment.
const MOST_BYTES: usize = 1 << 18;

/// One pair, loaded when needed.
struct Slot {
    files: Files,
    identity: OnceLock<String>,
    /// Kept until the process ends: its weights may be freed only by the thread that made them.
    engine: OnceLock<Result<&'static Engine, String>>,
}

/// Every pair there is.
pub(super) struct Translator {
    pairs: BTreeMap<Pair, Slot>,
}

impl Translator {
    /// Finds the pairs of `folders`, the first folder first, and the pinned ones of `roles`.
    pub(super) fn open(cache: &Cache, roles: &[Role], folders: &[PathBuf]) -> Result<Self> {
        let mut pairs = BTreeMap::new();
        let slot = |files| Slot { files, identity: OnceLock::new(), engine: OnceLock::new() };
        for folder in folders {
            for (pair, files) in pairs_in(folder)? {
                pairs.entry(pair).or_insert_with(|| slot(files));
            }
        }
        let (pt, en) = (Lang::from_lid("pt"), Lang::from_lid("en"));
        let Some((pt, en)) = pt.zip(en) else { return Err(Error::bug("langs.tsv lacks pt or en")) };
        let pinned = [
            (Role::Translate, (pt, en), [&PT_EN, &PT_EN_VOCAB, &PT_EN_LEX]),
            (Role::Localize, (en, pt), [&EN_PT, &EN_PT_VOCAB, &EN_PT_LEX]),
        ];
        for (role, pair, models) in pinned {
            if !roles.contains(&role) || pairs.contains_key(&pair) {
                continue;
            }
            let [model, vocabulary, shortlist] = models.map(|model: &Model| cache.path_of(model));
            let vocabulary = vocabulary?;
            let files = Files {
                model: model?,
                source_vocabulary: vocabulary.clone(),
                target_vocabulary: vocabulary,
                shortlist: Some(shortlist?),
            };
            let slot = slot(files);
            // Loaded now: what is wrong with it is told before any work.
            slot.engine().map_err(Error::unavailable)?;
            pairs.insert(pair, slot);
        }
        Ok(Self { pairs })
    }

    /// Whether it has the pair.
    pub(super) fn translates(&self, from: Lang, to: Lang) -> bool {
        self.pairs.contains_key(&(from, to))
    }

    /// What a translation between the two depends on.
    pub(super) fn identity(&self, from: Lang, to: Lang) -> Option<&str> {
        Some(self.pairs.get(&(from, to))?.identity())
    }

    /// Answers [`Ask::Translate`](crate::llm::Ask::Translate).
    pub(super) fn translate(&self, from: Lang, to: Lang, text: &str) -> Result<Reply, Refusal> {
        let Some(slot) = self.pairs.get(&(from, to)) else {
            return Err(Refusal::Rejected(
                Reason::Rejected,
                format!("no model for this pair: from={from}, to={to}"),
            ));
        };
        if text.len() > MOST_BYTES {
            return Err(Refusal::Rejected(
                Reason::Rejected,
                format!("text too long: bytes={}, most={MOST_BYTES}", text.len()),
            ));
        }
        let engine = slot.engine().map_err(|cause| Refusal::Fatal(Error::unavailable(cause)))?;
        // One less: the model adds an end.
        let count = |piece: &str| engine.src_ids(piece).len().saturating_sub(1);
        let cut = Sentences { count, most: MAX_SOURCE_TOKENS, ends: from.sentence_end() };
        let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        let answer = Answer::Text(engine.translate_segmented(&text, &cut));
        Ok(Reply { answer, usage: Usage::default() })
    }
}

impl Slot {
    fn engine(&self) -> Result<&'static Engine, String> {
        let loaded =
            self.engine.get_or_init(|| load(&self.files).map(|engine| &*Box::leak(Box::new(engine))));
        loaded.as_ref().copied().map_err(Clone::clone)
    }

    fn identity(&self) -> &str {
        self.identity.get_or_init(|| {
            let mut hasher = Sha256::new();
            let Files { model, source_vocabulary, target_vocabulary, shortlist } = &self.files;
            for path in [Some(model), Some(source_vocabulary), Some(target_vocabulary), shortlist.as_ref()] {
                let digest = path.and_then(|path| fs::read(path).ok()).map(Sha256::digest);
                hasher.update(digest.unwrap_or_default());
            }
            let digest = hasher.finalize();
            format!("embedded:bergamot-{VERSION}@{}", hex_of(&digest[..4]))
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn runs_here() -> bool {
    std::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn runs_here() -> bool {
    true
}

fn load(files: &Files) -> Result<Engine, String> {
    if !runs_here() {
        return Err(
            "translation models need a CPU with AVX2: remedy=use an http endpoint for translate and localize"
                .into(),
        );
    }
    let odd = |path: &Path, cause: &str| {
        format!("translation model unreadable: path={}, cause={cause}", path.display())
    };
    // The reader of these files trusts them and panics where they are cut short.
    let loaded = catch_unwind(|| {
        let Files { model, source_vocabulary, target_vocabulary, shortlist } = files;
        let engine =
            Engine::load(model, source_vocabulary, target_vocabulary).map_err(|cause| odd(model, &cause))?;
        let Some(path) = shortlist else { return Ok(engine) };
        let shortlist = Shortlist::load(path).map_err(|cause| odd(path, &cause.to_string()))?;
        Ok(engine.with_shortlist(shortlist))
    });
    loaded.unwrap_or_else(|_| Err(odd(&files.model, "it or a file beside it is broken")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    static TRANSLATOR: LazyLock<Option<Translator>> = LazyLock::new(|| {
        let cache = Cache::at(None).ok()?;
        if cache.find(&PT_EN).is_none() || cache.find(&EN_PT).is_none() {
            println!("skipped: model files are not there, fetch them with `isogloss models --fetch`");
            return None;
        }
        Some(Translator::open(&cache, &Role::ALL, &[]).expect("opens"))
    });

    fn lang(code: &str) -> Lang {
        Lang::from_lid(code).unwrap()
    }

    fn translate(translator: &Translator, from: &str, to: &str, text: &str) -> String {
        match translator.translate(lang(from), lang(to), text).expect("answers").answer {
            Answer::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_directions_say_what_was_said() {
        let Some(translator) = TRANSLATOR.as_ref() else { return };
        let cases = [
            ("pt", "en", "O coração bombeia sangue para todo o corpo.", &["heart", "blood", "body"][..]),
            ("pt", "en", "A receita leva três ovos e farinha de trigo.", &["recipe", "three eggs", "flour"]),
            ("pt", "en", "Lisboa fica na margem do rio Tejo.", &["Lisbon", "river", "Tagus"]),
            ("en", "pt", "Why is the sky blue?", &["Por que", "céu", "azul"]),
            ("en", "pt", "Explain how vaccines work.", &["Expli", "vacinas", "funcionam"]),
        ];
        for (from, to, text, words) in cases {
            let found = translate(translator, from, to, text);
            for word in words {
                assert!(found.contains(word), "{text}: {found}");
            }
        }
    }

    #[test]
    fn lines_stay_lines_and_long_sentences_stay_whole() {
        let Some(translator) = TRANSLATOR.as_ref() else { return };
        let text = "Ingredientes\n\n- dois ovos\n- um copo de leite\n\nModo de preparo\nMisture tudo.";
        let found = translate(translator, "pt", "en", text);
        let blank = |text: &str| text.lines().map(|line| line.trim().is_empty()).collect::<Vec<_>>();
        assert_eq!(blank(&found), blank(text), "{found}");
        let clause = "o rio desce da serra e atravessa a planície";
        let long = format!("Dizem que {}, e no fim chega ao mar.", [clause; 12].join(", e depois "));
        assert!(translate(translator, "pt", "en", &long).ends_with("sea."));
    }

    #[test]
    fn odd_text_breaks_nothing() {
        let Some(translator) = TRANSLATOR.as_ref() else { return };
        assert_eq!(translate(translator, "pt", "en", ""), "");
        for text in [
            "\0\u{7}\u{202e}",
            "😀😀😀",
            "a\u{301}\u{301}\u{301}",
            "ああああ",
            &"x".repeat(3000),
            &"?!".repeat(200),
        ] {
            let _ = translate(translator, "pt", "en", text);
        }
        let long = "a".repeat(MOST_BYTES + 1);
        assert!(matches!(translator.translate(lang("pt"), lang("en"), &long), Err(Refusal::Rejected(..))));
        assert!(matches!(translator.translate(lang("pt"), lang("fr"), "olá"), Err(Refusal::Rejected(..))));
    }

    #[test]
    fn a_folder_of_models_is_used_before_the_pinned_ones_and_only_as_far_as_it_works() {
        let Some(_) = TRANSLATOR.as_ref() else { return };
        let cache = Cache::at(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        // The pinned model under the name of another pair, and a broken one.
        for (model, name) in [(&PT_EN, "model.glen.intgemm.alphas.bin"), (&PT_EN_VOCAB, "vocab.glen.spm")] {
            fs::copy(cache.path_of(model).unwrap(), place(name)).unwrap();
        }
        fs::write(place("model.esen.intgemm.alphas.bin"), b"not a model").unwrap();
        fs::write(place("vocab.esen.spm"), b"nor this").unwrap();
        let folders = [folder.path().to_owned()];
        let translator = Translator::open(&cache, &[Role::Localize], &folders).unwrap();
        assert!(
            translator.translates(lang("gl"), lang("en")) && translator.translates(lang("en"), lang("pt"))
        );
        assert!(!translator.translates(lang("pt"), lang("en")));
        assert!(translate(&translator, "gl", "en", "O coração bombeia sangue.").contains("blood"));
        let broken = translator.translate(lang("es"), lang("en"), "hola");
        assert!(matches!(broken, Err(Refusal::Fatal(_))));
        let identities =
            [("gl", "en"), ("en", "pt")].map(|(from, to)| translator.identity(lang(from), lang(to)));
        assert!(identities[0].is_some() && identities[1].is_some() && identities[0] != identities[1]);
    }
}
