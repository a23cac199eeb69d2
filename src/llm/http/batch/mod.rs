//! Chat, or embeddings, by the batch API of providers: asks are gathered into a file, submitted, and answered within a day, at half the price
//! with most of them.
//!
//! **Why**: a corpus has time, and the price of a model is what it costs. An ask waits here until its batch is collected;
//! rows in flight are the rows of batches. A submitted batch is paid for, whatever becomes of the process: it is
//! noted in the state before it is submitted, and a later run waits for it, or reads what was collected, in place of asking
//! again. The API is `OpenAI`'s (<https://platform.openai.com/docs/guides/batch>), which others offer too.

mod calls;
mod flow;
mod ledger;
mod lines;
#[cfg(test)]
mod tests;

pub use ledger::tidy;

use super::HttpEndpoint;
use super::{chat, embeddings};
use crate::config::EndpointSettings;
use crate::error::Result;
use crate::llm::journal::{canonical, key_under};
use crate::llm::tokens::Counter;
use crate::llm::{Ask, Endpoint, Offers, Pending, Refusal, Reply};
use flow::Flow;
use std::path::Path;
use std::sync::Arc;

/// A model behind a batch API.
#[derive(Debug)]
pub struct BatchEndpoint {
    flow: Arc<Flow>,
}

impl BatchEndpoint {
    /// Opens the endpoint `name`; its batches are noted in a folder of `state`. Its key is read, nothing is sent.
    ///
    /// # Errors
    /// As [`HttpEndpoint::open`].
    pub fn open(name: &str, settings: &EndpointSettings, state: &Path) -> Result<Self> {
        let http = HttpEndpoint::open(name, settings)?;
        Ok(Self { flow: Arc::new(Flow::new(name, http, settings, state)?) })
    }
}

/// A run that is over follows no batch: the next one of the same state does, and two of them would collect each file twice.
impl Drop for BatchEndpoint {
    fn drop(&mut self) {
        self.flow.close();
    }
}

impl Endpoint for BatchEndpoint {
    /// That of the model behind an address: its answers are the same.
    fn identity(&self) -> &str {
        self.flow.http.identity()
    }

    fn offers(&self) -> Offers {
        let embed = self.flow.embeds;
        Offers { chat: !embed, embed, ..Offers::default() }
    }

    fn counter(&self) -> Counter {
        self.flow.http.counter.clone()
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        Box::pin(async move {
            let key = key_under(self.identity(), &canonical(ask).map_err(Refusal::Fatal)?);
            let body = match ask {
                Ask::Embed { text } => embeddings::written(&self.flow.http, text)?,
                _ => chat::written(&self.flow.http, ask)?,
            };
            let line = self.flow.answer(key, &body).await?;
            lines::understood(&self.flow.http, ask, &line)
        })
    }
}
