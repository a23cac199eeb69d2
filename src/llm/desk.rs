//! Where stages ask: journal first, then an endpoint, with its limits and retries.
//!
//! **Why**: an answer paid once is never paid again, whatever stage asks, and a stage sees only two
//! outcomes: this row has no answer, or the run must stop. A busy or absent endpoint is neither: the next one takes over,
//! and where there is none rows wait, until nobody has had an answer for as long as the settings allow.
//!
//! A role may have several endpoints. An answer of any of them is found before anybody is asked; which is asked first is a
//! function of the ask (`route`), and so is the order in which answers are looked for.

use super::endpoint::{Answer, Ask, Endpoint, Offers, Refusal, Role};
use super::journal::{Entry, Flights, Journal, Landing, Seat, canonical, key_under};
use super::tokens::characters_of;
use crate::error::Error;
use crate::model::{Lang, Reason};
use crate::stop::Stop;
use std::sync::Arc;
use tries::{Paid, Tries};

mod backend;
pub mod meter;
pub mod peek;
pub mod retry;
mod route;
mod tries;

pub use backend::Backend;
pub use meter::{Billed, Figures, Meter};
pub use peek::{Missed, Peek};
pub use retry::Retry;

/// A row that finds the endpoint busy or away this many times more often than it may try, while others are
/// answered, is the cause itself.
const PATIENCE: u32 = 8;

/// Why a stage got no answer.
#[derive(Debug)]
pub enum Trouble {
    /// This row gets none: the fault's reason.
    Row(Reason),
    /// The run must stop; a rerun resumes from the journal.
    Run(Error),
}

/// Asks the endpoints of one role.
#[derive(Clone)]
pub struct Desk {
    /// Let go before the journal is: an endpoint writes to the state for as long as the state is this run's.
    backends: Arc<[Backend]>,
    line: Option<Arc<Line>>,
}

/// What stands between a stage and the endpoints.
struct Line {
    role: Role,
    journal: Option<Arc<Journal>>,
    flights: Arc<Flights>,
    stop: Stop,
    meter: Arc<Meter>,
    /// Set where nobody is to be asked.
    peek: Option<Arc<Peek>>,
}

impl Desk {
    /// A desk without journal, limits or retries: for tests of stages.
    pub fn bare(endpoint: Arc<dyn Endpoint>) -> Self {
        let limiter = super::limiter::Limiter::new(super::limiter::Limits::default());
        Self { backends: [Backend::new("bare", endpoint, limiter, Retry::default())].into(), line: None }
    }

    /// A desk of a run. The endpoints are asked alike: they offer the same. `journal`, `stop` and `meter` are the run's.
    pub fn new(
        role: Role,
        backends: Vec<Backend>,
        journal: Option<Arc<Journal>>,
        stop: Stop,
        meter: Arc<Meter>,
    ) -> Self {
        let flights = journal.as_ref().map_or_else(Arc::default, |journal| Arc::clone(journal.flights()));
        let line = Line { role, journal, flights, stop, meter, peek: None };
        Self { backends: backends.into(), line: Some(Arc::new(line)) }
    }

    /// A desk for a plan: it has what the journal has, counts what that lacks, and asks nobody.
    pub fn peeking(
        role: Role,
        backends: Vec<Backend>,
        journal: Arc<Journal>,
        stop: Stop,
        peek: Arc<Peek>,
    ) -> Self {
        let flights = Arc::clone(journal.flights());
        let (journal, meter, peek) = (Some(journal), Arc::default(), Some(peek));
        let line = Line { role, journal, flights, stop, meter, peek };
        Self { backends: backends.into(), line: Some(Arc::new(line)) }
    }

    /// The same desk without the endpoints of the best priority; `None` if nobody is left. Asked where a reply of those
    /// does not pass.
    #[must_use]
    pub fn below(&self) -> Option<Self> {
        let best = self.backends.iter().map(|backend| backend.priority).min()?;
        let rest: Vec<Backend> = self.backends.iter().filter(|b| b.priority > best).cloned().collect();
        (!rest.is_empty()).then(|| Self { backends: rest.into(), line: self.line.clone() })
    }

    /// What its endpoints answer.
    pub fn offers(&self) -> Offers {
        self.backends.first().map(|backend| backend.endpoint.offers()).unwrap_or_default()
    }

    /// Whether one of them translates between the two.
    pub fn translates(&self, from: Lang, to: Lang) -> bool {
        self.backends.iter().any(|b| b.endpoint.offers().translate && b.endpoint.translates(from, to))
    }

    /// The identities of its models, for messages.
    pub fn identity(&self) -> String {
        self.backends.iter().map(|backend| backend.endpoint.identity()).collect::<Vec<_>>().join(" | ")
    }

    /// Answers from the journal or asks, and returns only once the answer is in the journal.
    ///
    /// # Errors
    /// [`Trouble::Row`] if this ask has no answer, [`Trouble::Run`] if no ask will have one.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let Some(line) = &self.line else { return self.once(ask).await };
        let bytes = canonical(ask).map_err(Trouble::Run)?;
        let route = route::route(&self.backends, ask, &bytes);
        let Some(first) = route.first() else { return Err(Trouble::Row(Reason::NoTranslator)) };
        // Equal asks have equal routes, so the first key stands for all of them.
        let key = key_under(first.endpoint.identity_of(ask), &bytes);
        let lead = loop {
            match line.flights.seat(key) {
                Seat::Lead(lead) => break lead,
                Seat::Follow(follow) => {
                    if let Some(landing) = follow.wait().await {
                        return line.followed(landing, &first.name);
                    }
                }
            }
        };
        let outcome = line.first(ask, &route, key, &bytes).await;
        lead.land(|| match &outcome {
            Ok(answer) => Landing::Answer(answer.clone()),
            Err(Trouble::Row(reason)) => Landing::Row(*reason),
            Err(Trouble::Run(error)) => Landing::Run(error.kind(), error.to_string()),
        });
        outcome
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let Some(backend) = self.backends.first() else { return Err(Trouble::Row(Reason::GaveUp)) };
        match backend.endpoint.ask(ask).await.map_err(|refusal| refusal.unpaid().0) {
            Ok(reply) => Ok(reply.answer),
            Err(Refusal::Fatal(error)) => Err(Trouble::Run(error)),
            Err(Refusal::Rejected(reason, _) | Refusal::Transient(reason, _)) => Err(Trouble::Row(reason)),
            Err(_) => Err(Trouble::Row(Reason::GaveUp)),
        }
    }
}

impl Line {
    /// The first of equal asks: from the journal, or asked and journaled. `key` is that of the route's first endpoint.
    async fn first(&self, ask: &Ask, route: &[&Backend], key: u128, bytes: &[u8]) -> Result<Answer, Trouble> {
        if let Some(journal) = &self.journal {
            // Whoever of the role answered it: it is paid.
            let mut seen = Vec::with_capacity(route.len());
            for backend in route {
                let key = key_under(backend.endpoint.identity_of(ask), bytes);
                if seen.contains(&key) {
                    continue;
                }
                if let Some(entry) = journal.get(key).map_err(Trouble::Run)? {
                    self.meter.cached(self.role, &backend.name);
                    return Ok(entry.reply.answer);
                }
                seen.push(key);
            }
        }
        if let Some(peek) = &self.peek {
            let most = route.first().map(|backend| backend.counter.most_of(ask)).unwrap_or_default();
            peek.missed(self.role, most, characters_of(ask));
            return Err(Trouble::Row(Reason::GaveUp));
        }
        // Set aside until the answer is journaled: a budget that is spent waits for it.
        let Paid { backend, reply, cost, hold } = Tries::new(self, route).ask(ask, key).await?;
        let Some(journal) = &self.journal else { return Ok(reply.answer) };
        let identity = backend.endpoint.identity_of(ask).to_owned();
        let key = key_under(&identity, bytes);
        let paid_nano = (!backend.prices.is_free()).then(|| cost.nano());
        let entry = Entry { reply, role: self.role, identity, unix_ms: journal.unix_ms(), paid_nano };
        journal.put(key, &entry).map_err(Trouble::Run)?;
        drop(hold);
        Ok(entry.reply.answer)
    }

    fn followed(&self, landing: Landing, endpoint: &str) -> Result<Answer, Trouble> {
        match landing {
            Landing::Answer(answer) => {
                self.meter.cached(self.role, endpoint);
                Ok(answer)
            }
            Landing::Row(reason) => Err(Trouble::Row(reason)),
            Landing::Run(kind, what) => Err(Trouble::Run(Error::new(kind, what))),
        }
    }
}

#[cfg(test)]
mod tests;
