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
use crate::workers::side_by_side;
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
    pub fn open(
        cache: &Cache,
        roles: &[Role],
        folders: &[PathBuf],
        threads: usize,
    ) -> Result<Arc<dyn Endpoint>> {
        let needs = |some: &[Role]| some.iter().any(|role| roles.contains(role));
        // Reading and unpacking is most of a short run: the largest model on a thread of its own.
        let lm = || needs(SMOLLM2.roles).then(|| Lm::open(&cache.path_of(&SMOLLM2)?)).transpose();
        let (lm, (translator, embedder)) = side_by_side("lm", lm, || {
            let translator = needs(&[Role::Translate, Role::Localize])
                .then(|| Translator::open(cache, roles, folders))
                .transpose()?;
            let embedder = needs(MINILM.roles)
                .then(|| Embedder::open(&cache.path_of(&MINILM)?, &cache.path_of(&MINILM_TOKENIZER)?))
                .transpose()?;
            Ok((translator, embedder))
        })?;
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
        Offers {
            translate: translator.is_some(),
            chat: false,
            complete: lm.is_some(),
            embed: embedder.is_some(),
        }
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
        let none =
            || Refusal::Fatal(Error::bug("the embedded endpoint was asked for what it does not offer"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn asks() -> Vec<Ask> {
        let lang = |code| Lang::from_lid(code).unwrap();
        let translate = |text: &str| Ask::Translate { from: lang("pt"), to: lang("en"), text: text.into() };
        let complete = |prompt: &str| Ask::Complete {
            prefix: "Text: Salt melts ice.\nRequest: Why is salt put on roads?\n\n".into(),
            prompt: format!("Text: {prompt}\nRequest:"),
            openers: vec![" What".into(), " How do".into()],
            max_tokens: 4,
        };
        let contexts = vec!["Request: Why?\nText:".into(), "Text:".into()];
        vec![
            translate("O mar é azul. As ondas são altas."),
            complete("Bees make honey."),
            Ask::LogProb { contexts, text: "Because it is so.".into(), most_tokens: 9 },
            Ask::Embed { text: "A red boat on the sea.".into() },
            translate("O pão leva farinha, água e sal."),
            complete("Wind turns the mill."),
            Ask::Embed { text: "How is bread made?".into() },
            translate("Hoje não chove."),
        ]
    }

    #[tokio::test]
    async fn asks_beside_each_other_are_answered_as_alone() {
        let cache = Cache::at(None).expect("home");
        if crate::llm::models::ALL.iter().any(|model| cache.find(model).is_none()) {
            println!("skipped: model files are not there, fetch them with `isogloss models --fetch`");
            return;
        }
        let endpoint = Embedded::open(&cache, &Role::ALL, &[], 3).expect("opens");
        let offers = Offers { translate: true, chat: false, complete: true, embed: true };
        assert_eq!(endpoint.offers(), offers);
        let asks = asks();
        let mut alone = Vec::new();
        for ask in &asks {
            alone.push(endpoint.ask(ask).await.expect("answers"));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (i, ask) in asks.iter().cloned().enumerate().rev() {
            let endpoint = Arc::clone(&endpoint);
            tasks.spawn(async move { (i, endpoint.ask(&ask).await.expect("answers")) });
        }
        let mut together = tasks.join_all().await;
        together.sort_by_key(|(i, _)| *i);
        assert_eq!(together.into_iter().map(|(_, reply)| reply).collect::<Vec<_>>(), alone);
        let identities: Vec<&str> = asks.iter().take(4).map(|ask| endpoint.identity_of(ask)).collect();
        assert!(
            identities[0] != identities[1]
                && identities[1] == identities[2]
                && identities[2] != identities[3]
        );
        assert!(identities.iter().all(|identity| identity.starts_with("embedded:")), "{identities:?}");
    }

    #[test]
    fn only_what_the_roles_need_must_be_there() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::at(Some(folder.path().to_owned())).expect("cache");
        for role in Role::ALL {
            let error = Embedded::open(&cache, &[role], &[], 1).err().expect("nothing is there");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("models --fetch"), "{error}");
        }
        let endpoint = Embedded::open(&cache, &[], &[], 1).expect("needs nothing");
        assert_eq!(endpoint.offers(), Offers::default());
    }
}
