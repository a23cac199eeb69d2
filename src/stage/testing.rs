//! Scripted endpoints and a row to try clerks with.

use super::clerk::Clerk;
use crate::error::Result;
use crate::llm::prompt::Prompts;
use crate::llm::{Answer, Ask, Desk, Endpoint, Finish, Offers, Pending, Refusal, Reply, Usage};
use crate::model::{Exchange, Lang, Reason, Ruling};
use std::sync::{Arc, Mutex};

/// Answers each ask by a function, and keeps the asks.
pub(crate) struct Script<F> {
    offers: Offers,
    answer: F,
    pub(crate) asked: Mutex<Vec<Ask>>,
}

impl<F: Fn(&Ask) -> Result<Answer, Refusal> + Send + Sync + 'static> Script<F> {
    pub(crate) fn new(offers: Offers, answer: F) -> Arc<Self> {
        Arc::new(Self { offers, answer, asked: Mutex::new(Vec::new()) })
    }

    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

impl<F: Fn(&Ask) -> Result<Answer, Refusal> + Send + Sync> Endpoint for Script<F> {
    fn identity(&self) -> &'static str {
        "scripted"
    }

    fn offers(&self) -> Offers {
        self.offers
    }

    fn translates(&self, from: Lang, to: Lang) -> bool {
        self.offers.translate && from.tag() != "tha_Thai" && to.tag() != "tha_Thai"
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        self.asked.lock().expect("not poisoned").push(ask.clone());
        let answer = (self.answer)(ask);
        Box::pin(async move { Ok(Reply { answer: answer?, usage: Usage::default() }) })
    }
}

/// A desk that answers by a function.
pub(crate) fn desk(
    offers: Offers,
    answer: impl Fn(&Ask) -> Result<Answer, Refusal> + Send + Sync + 'static,
) -> Desk {
    Desk::bare(Script::new(offers, answer))
}

/// A desk whose every chat turn is `reply`.
pub(crate) fn chat(reply: &str) -> Desk {
    let reply = reply.to_owned();
    desk(Offers { chat: true, ..Offers::default() }, move |_| Ok(turn(&reply)))
}

/// A chat turn that ended by itself.
pub(crate) fn turn(text: &str) -> Answer {
    Answer::Chat { text: text.to_owned(), finish: Finish::Stop, first: Vec::new() }
}

pub(crate) fn prompts() -> Arc<Prompts> {
    Arc::new(Prompts::open(None, 1).expect("the built-in prompts parse"))
}

pub(crate) fn lang(tag: &str) -> Lang {
    Lang::from_tag(tag).expect("in the table")
}

pub(crate) const NATIVE: &str = "As marés são causadas pela atração da Lua e do Sol sobre os oceanos. \
    A água sobe e desce 2 vezes por dia, e em 1954 a maré mais alta chegou a 16 metros.";
pub(crate) const ENGLISH: &str = "Tides are caused by the pull of the Moon and the Sun on the oceans. \
    The water rises and falls twice a day, and in 1954 the highest tide reached 16 metres.";

/// A row before translate.
pub(crate) fn native() -> Exchange {
    Exchange { id: 7, lang: lang("por_Latn"), response: NATIVE.to_owned(), ..Exchange::default() }
}

/// A row after translate.
pub(crate) fn translated() -> Exchange {
    Exchange { response_en: ENGLISH.to_owned(), ..native() }
}

/// A row after instruct.
pub(crate) fn asked() -> Exchange {
    Exchange { instruction_en: "Why do the oceans have tides?".to_owned(), ..translated() }
}

/// Treats a row and gives it back.
pub(crate) fn treat(clerk: &dyn Clerk, mut exchange: Exchange) -> Result<Exchange> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(clerk.treat(&mut exchange)).map(|()| exchange)
}

/// How the row ended, if it did.
pub(crate) fn end_of(clerk: &dyn Clerk, exchange: Exchange) -> Option<(Ruling, Reason)> {
    let outcome = treat(clerk, exchange).expect("the run goes on").outcome;
    outcome.map(|verdict| {
        assert_eq!(verdict.stage, clerk.stage());
        (verdict.ruling, verdict.reason)
    })
}
