//! An endpoint that answers by a script: for tests only, and no kind of the settings.
//!
//! **Why**: tests of stages and golden rows need answers that cost nothing, never change, and can be counted or made
//! to fail. A test hands it to the run in place of an endpoint.

pub mod echo;
mod words;

use super::{Answer, Ask, Endpoint, Offers, Pending, Refusal, Reply, Role, Usage};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Script = dyn Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync;

/// Answers by a function, and counts what it was asked.
pub struct Scripted {
    identity: String,
    offers: Offers,
    delay: Duration,
    script: Box<Script>,
    asked: Mutex<BTreeMap<(&'static str, Option<Role>), u64>>,
}

impl Scripted {
    /// An endpoint that offers everything and answers what `script` says.
    pub fn new(script: impl Fn(&Ask) -> Result<Reply, Refusal> + Send + Sync + 'static) -> Self {
        Self {
            identity: "scripted".to_owned(),
            offers: Offers { translate: true, chat: true, complete: true, embed: true },
            delay: Duration::ZERO,
            script: Box::new(script),
            asked: Mutex::default(),
        }
    }

    /// A small model's stand-in: plausible, deterministic answers to translation, completions and embeddings.
    /// Like the embedded models it does not chat; [`offering`](Self::offering) chat makes it a large one's.
    pub fn echo() -> Self {
        Self::new(|ask| Ok(paid(ask, echo::answer(ask)))).named("scripted-echo-1").offering(Offers {
            translate: true,
            chat: false,
            complete: true,
            embed: true,
        })
    }

    /// Under another identity.
    #[must_use]
    pub fn named(mut self, identity: &str) -> Self {
        identity.clone_into(&mut self.identity);
        self
    }

    /// Offering something else.
    #[must_use]
    pub fn offering(mut self, offers: Offers) -> Self {
        self.offers = offers;
        self
    }

    /// Answering only after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How often it was asked a kind of ask (`translate`, `chat`, `complete`, `log_prob`, `embed`).
    pub fn asked(&self, kind: &str) -> u64 {
        self.counts().iter().filter(|((name, _), _)| *name == kind).map(|(_, count)| count).sum()
    }

    /// How often it was asked a chat turn of a role.
    pub fn asked_for(&self, role: Role) -> u64 {
        self.counts().iter().filter(|((_, of), _)| *of == Some(role)).map(|(_, count)| count).sum()
    }

    /// How often it was asked at all.
    pub fn asked_at_all(&self) -> u64 {
        self.counts().values().sum()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Option<Role>), u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reply of a script, with a plausible usage.
pub fn paid(ask: &Ask, answer: Answer) -> Reply {
    let input = match ask {
        Ask::Translate { text, .. } | Ask::Embed { text } | Ask::LogProb { text, .. } => text.len(),
        Ask::Chat { system, user, .. } => system.len() + user.len(),
        Ask::Complete { prompt, .. } => prompt.len(),
    };
    let output = match &answer {
        Answer::Text(text) | Answer::Chat { text, .. } => text.len(),
        Answer::Completions(all) => all.iter().map(|one| one.text.len()).sum(),
        Answer::LogProbs(_) | Answer::Vector(_) => 0,
    };
    let tokens = |bytes: usize| u64::try_from(bytes / 4).unwrap_or(u64::MAX);
    Reply { answer, usage: Usage { input_tokens: tokens(input), output_tokens: tokens(output) } }
}

impl Endpoint for Scripted {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn offers(&self) -> Offers {
        self.offers
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        let kind = match ask {
            Ask::Translate { .. } => ("translate", None),
            Ask::Chat { role, .. } => ("chat", Some(*role)),
            Ask::Complete { .. } => ("complete", None),
            Ask::LogProb { .. } => ("log_prob", None),
            Ask::Embed { .. } => ("embed", None),
        };
        *self.counts().entry(kind).or_default() += 1;
        Box::pin(async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            (self.script)(ask)
        })
    }
}
