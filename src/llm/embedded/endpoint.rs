//! The embedded endpoint: every model that the roles need, behind one face.
//!
//! **Why**: models are loaded once and shared by all threads; each kind of ask has an identity of its own, so that
//! another language model does not make the journal forget translations.

use super::embedder::Embedder;
use super::lm::Lm;
use super::pool::Pool;
use super::translator::Translator;
use crate::error::{Error, Result};
use crate::llm::models::{Cache, MINILM, MINILM_TOKENIZER, Model, SMOLLM2};
use crate::llm::{Ask, Endpoint, Offers, Pending, Refusal, Reply, Role};
use crate::model::Lang;
use std::path::PathBuf;
use std::sync::Arc;

/// Changes whenever the same language model would answer otherwise.
const LM_VERSION: &str = "lm1";
/// Changes whenever the same encoder would answer otherwise.
const EMBEDDER_VERSION: &str = "e1";

struct Models {
    translator: Option<Translator>,
    lm: Option<Lm>,
    embedder: Option<Embedder>,
}

/// The embedded endpoint.
pub struct Embedded {
    models: Arc<Models>,
    pool: Pool,
    identity: String,
    lm_identity: String,
    embedder_identity: String,
}

impl Embedded {
    /// Loads what `roles` need, and finds the Bergamot models in `folders`. Asks are worked on by `threads` threads.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the remedy if a file is missing or broken;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a folder holds no model.
    pub fn open(cache: &Cache, roles: &[Role], folders: &[PathBuf], threads: usize) -> Result<Arc<dyn Endpoint>> {
        let needs = |some: &[Role]| some.iter().any(|role| roles.contains(role));
        let translator =
            needs(&[Role::Translate, Role::Localize]).then(|| Translator::open(cache, roles, folders)).transpose()?;
        let lm = needs(SMOLLM2.roles).then(|| Lm::open(&cache.path_of(&SMOLLM2)?)).transpose()?;
        let embedder = needs(MINILM.roles)
            .then(|| Embedder::open(&cache.path_of(&MINILM)?, &cache.path_of(&MINILM_TOKENIZER)?))
            .transpose()?;
        let named = |name: &str, version: &str, model: &Model| {
            format!("embedded:{name}-{version}@{}", model.sha256.get(..8).unwrap_or_default())
        };
        Ok(Arc::new(Self {
            models: Arc::new(Models { translator, lm, embedder }),
            pool: Pool::start(threads)?,
            identity: "embedded".to_owned(),
            lm_identity: named("smollm2-135m-q4_1", LM_VERSION, &SMOLLM2),
            embedder_identity: named("minilm-l6-v2", EMBEDDER_VERSION, &MINILM),
        }))
    }
}

impl Endpoint for Embedded {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn identity_of(&self, ask: &Ask) -> &str {
        match ask {
            Ask::Translate { from, to, .. } => {
                let translator = self.models.translator.as_ref();
                translator.and_then(|translator| translator.identity(*from, *to)).unwrap_or(&self.identity)
            }
            Ask::Complete { .. } | Ask::LogProb { .. } => &self.lm_identity,
            Ask::Embed { .. } => &self.embedder_identity,
            Ask::Chat { .. } => &self.identity,
        }
    }

    fn offers(&self) -> Offers {
        let Models { translator, lm, embedder } = &*self.models;
        Offers { translate: translator.is_some(), chat: false, complete: lm.is_some(), embed: embedder.is_some() }
    }

    fn translates(&self, from: Lang, to: Lang) -> bool {
        self.models.translator.as_ref().is_some_and(|translator| translator.translates(from, to))
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        let (models, ask) = (Arc::clone(&self.models), ask.clone());
        Box::pin(self.pool.run(move || models.answer(&ask)))
    }
}

impl Models {
    fn answer(&self, ask: &Ask) -> Result<Reply, Refusal> {
        let none = || Refusal::Fatal(Error::bug("the embedded endpoint was asked for what it does not offer"));
        match ask {
            Ask::Translate { from, to, text } => {
                self.translator.as_ref().ok_or_else(none)?.translate(*from, *to, text)
            }
            Ask::Complete { prefix, prompt, openers, max_tokens } => {
                self.lm.as_ref().ok_or_else(none)?.complete(prefix, prompt, openers, *max_tokens)
            }
            Ask::LogProb { contexts, text, most_tokens } => {
                self.lm.as_ref().ok_or_else(none)?.log_prob(contexts, text, *most_tokens)
            }
            Ask::Embed { text } => self.embedder.as_ref().ok_or_else(none)?.embed(text),
            Ask::Chat { .. } => Err(none()),
        }
    }
}
