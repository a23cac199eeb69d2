//! What can be asked of a model, and what it answers: one trait for embedded, http and scripted endpoints.
//!
//! **Why**: a stage decides what to ask and what an answer is worth; where the model runs is a setting.
//! An ask is plain data, so that the journal can name it by its hash and answer it again for nothing.

use super::tokens::Counter;
use crate::error::Error;
use crate::model::{Lang, Reason};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future that an endpoint or a desk gives back.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a model is used for. Each role names its endpoint in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Native response to English.
    Translate,
    /// An English instruction for an English response.
    Instruct,
    /// The score of an English pair.
    Score,
    /// Vectors of English text.
    Embed,
    /// English instruction to the native language.
    Localize,
}

impl Role {
    /// Every role, in the order of the chain.
    pub const ALL: [Self; 5] = [Self::Translate, Self::Instruct, Self::Score, Self::Embed, Self::Localize];

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its name in settings, tables and the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Translate => "translate",
            Self::Instruct => "instruct",
            Self::Score => "score",
            Self::Embed => "embed",
            Self::Localize => "localize",
        }
    }
}

/// One question. Everything that can change the answer stands in it or in [`Endpoint::identity`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Translate `text`. Answered by [`Answer::Text`].
    Translate {
        /// Language of the text.
        from: Lang,
        /// Language wanted.
        to: Lang,
        /// The text.
        text: String,
    },
    /// One turn with a chat model. Answered by [`Answer::Chat`].
    Chat {
        /// What the turn is for: scripted endpoints and tables tell turns apart by it.
        role: Role,
        /// Name and version of the prompt, as in `instruct-2`: part of the journal key.
        prompt: String,
        /// The system message, rendered.
        system: String,
        /// The user message, rendered, with hostile text fenced.
        user: String,
        /// The most tokens of the reply.
        max_tokens: u32,
        /// Sampling temperature in thousandths.
        temperature_milli: u32,
        /// A JSON schema the reply must keep, where the endpoint can force one.
        schema: Option<String>,
        /// Ask for the log-probabilities of the first reply token.
        logprobs: bool,
    },
    /// Greedy completions of `prefix + prompt + opener`, one per opener, each to the newline.
    /// Answered by [`Answer::Completions`], in order.
    Complete {
        /// Shared by many asks, so an endpoint may evaluate it once and keep it.
        prefix: String,
        /// What differs.
        prompt: String,
        /// The forced beginnings of the reply.
        openers: Vec<String>,
        /// The most tokens of each reply.
        max_tokens: u32,
    },
    /// Mean log-probability per token of the first `most_tokens` tokens of `text` after each context.
    /// Answered by [`Answer::LogProbs`], in order.
    LogProb {
        /// What stands before the text.
        contexts: Vec<String>,
        /// The text.
        text: String,
        /// How much of it counts, in tokens.
        most_tokens: u32,
    },
    /// The vector of an English text. Answered by [`Answer::Vector`].
    Embed {
        /// The text.
        text: String,
    },
}

/// A completion of one opener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// Without the opener.
    pub text: String,
    /// It ended by itself, at a newline or an end token.
    pub ended: bool,
}

/// A candidate for the first token of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Its log-probability, natural logarithm.
    pub logprob: f64,
}

/// Why a chat reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// By itself.
    Stop,
    /// At the limit of tokens.
    Length,
    /// The provider's filter stepped in.
    Filtered,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A translation.
    Text(String),
    /// A chat turn.
    Chat {
        /// The message.
        text: String,
        /// Why it ended.
        finish: Finish,
        /// Candidates for its first token, likeliest first; empty if not asked for or not offered.
        first: Vec<Token>,
    },
    /// One per opener.
    Completions(Vec<Completion>),
    /// One per context, in nats per token.
    LogProbs(Vec<f64>),
    /// A unit vector, each component × 127 and rounded.
    Vector(Vec<i8>),
}

/// Tokens, as the endpoint counts them or as estimated; 0 where nothing is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
}

/// An answer and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// What it cost.
    pub usage: Usage,
}

/// Why an endpoint gave no answer, sorted by what to do next.
#[derive(Debug)]
pub enum Refusal {
    /// Too many requests: wait, and slow down.
    Busy {
        /// As long as the endpoint says.
        after: Option<Duration>,
    },
    /// Nobody there (no address, no connection, a gateway without its server): wait for it, and blame no row.
    Away(String),
    /// A reset, a timeout, a 5xx, a reply that is none: try again. The reason is the row's, should all tries end so.
    Transient(Reason, String),
    /// This ask will never be answered (too long, 400): give up on the row.
    Rejected(Reason, String),
    /// A reply that is of no use but billed: why, and the tokens that the endpoint counts for it.
    Paid(Box<Refusal>, Usage),
    /// No ask will be answered (wrong key, unknown model, address not found): the run must stop.
    Fatal(Error),
}

impl Refusal {
    /// The same, billed for these tokens.
    #[must_use]
    pub fn paid(self, usage: Usage) -> Self {
        Self::Paid(Box::new(self.unpaid().0), usage)
    }

    /// The refusal itself, and the tokens that are billed for it.
    pub fn unpaid(self) -> (Self, Option<Usage>) {
        let (mut refusal, mut billed) = (self, None);
        while let Self::Paid(inner, usage) = refusal {
            (refusal, billed) = (*inner, billed.or(Some(usage)));
        }
        (refusal, billed)
    }
}

/// The kinds of ask an endpoint answers.
#[expect(clippy::struct_excessive_bools, reason = "independent offers")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// [`Ask::Translate`].
    pub translate: bool,
    /// [`Ask::Chat`].
    pub chat: bool,
    /// [`Ask::Complete`] and [`Ask::LogProb`].
    pub complete: bool,
    /// [`Ask::Embed`].
    pub embed: bool,
}

/// A model somewhere. Implementations neither retry nor journal: the [`Desk`](super::Desk) does.
pub trait Endpoint: Send + Sync {
    /// Kind, model, its version or digest, and parameters: part of the journal key and of the output's columns.
    /// Never a key, never an address with one.
    fn identity(&self) -> &str;

    /// The identity of what answers this ask, where an endpoint holds more than one model: the journal key has it.
    fn identity_of(&self, ask: &Ask) -> &str {
        let _ = ask;
        self.identity()
    }

    /// What it answers.
    fn offers(&self) -> Offers;

    /// Whether it translates between the two; only asked if it offers translation.
    fn translates(&self, from: Lang, to: Lang) -> bool {
        let _ = (from, to);
        self.offers().translate
    }

    /// What counts the tokens of asks: a rule of thumb, if it does not know better.
    fn counter(&self) -> Counter {
        Counter::default()
    }

    /// Asks once.
    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>>;
}
