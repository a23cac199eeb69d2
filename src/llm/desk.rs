//! Where stages ask: journal first, then the endpoint, with its limits and retries.
//!
//! **Why**: an answer paid once is never paid again, whatever stage asks, and a stage sees only two
//! outcomes: this row has no answer, or the run must stop. A busy or absent endpoint is neither: rows wait for it,
//! until nobody has had an answer for as long as the settings allow.

use super::endpoint::{Answer, Ask, Endpoint, Refusal, Reply, Role};
use super::journal::{Entry, Flights, Journal, Landing, Seat, key_of};
use super::limiter::Limiter;
use crate::error::{Error, ErrorKind};
use crate::model::Reason;
use crate::stop::Stop;
use std::sync::Arc;
use std::time::Duration;

pub mod meter;
pub mod retry;

pub use meter::{Figures, Meter};
pub use retry::Retry;

/// Bytes of a prompt per token, as a first guess for limits per minute.
const BYTES_PER_TOKEN: usize = 4;

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

/// Asks one endpoint on behalf of one role.
#[derive(Clone)]
pub struct Desk {
    endpoint: Arc<dyn Endpoint>,
    line: Option<Arc<Line>>,
}

/// What stands between a stage and the endpoint.
struct Line {
    role: Role,
    journal: Option<Arc<Journal>>,
    flights: Arc<Flights>,
    limiter: Arc<Limiter>,
    retry: Retry,
    stop: Stop,
    meter: Arc<Meter>,
}

impl Desk {
    /// A desk without journal, limits or retries: for tests of stages.
    pub fn bare(endpoint: Arc<dyn Endpoint>) -> Self {
        Self { endpoint, line: None }
    }

    /// A desk of a run. `limiter` is the endpoint's, `journal`, `stop` and `meter` are the run's.
    pub fn new(
        role: Role,
        endpoint: Arc<dyn Endpoint>,
        journal: Option<Arc<Journal>>,
        limiter: Arc<Limiter>,
        retry: Retry,
        stop: Stop,
        meter: Arc<Meter>,
    ) -> Self {
        let flights = journal.as_ref().map_or_else(Arc::default, |journal| Arc::clone(journal.flights()));
        let line = Line { role, journal, flights, limiter, retry, stop, meter };
        Self { endpoint, line: Some(Arc::new(line)) }
    }

    /// The endpoint behind it.
    pub fn endpoint(&self) -> &dyn Endpoint {
        self.endpoint.as_ref()
    }

    /// Answers from the journal or asks, and returns only once the answer is in the journal.
    ///
    /// # Errors
    /// [`Trouble::Row`] if this ask has no answer, [`Trouble::Run`] if no ask will have one.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let Some(line) = &self.line else { return self.once(ask).await };
        let (key, bytes) = key_of(self.endpoint.identity_of(ask), ask).map_err(Trouble::Run)?;
        let lead = loop {
            match line.flights.seat(key) {
                Seat::Lead(lead) => break lead,
                Seat::Follow(follow) => {
                    if let Some(landing) = follow.wait().await {
                        return line.followed(landing);
                    }
                }
            }
        };
        let outcome = self.first(line, ask, key, bytes).await;
        lead.land(|| match &outcome {
            Ok(answer) => Landing::Answer(answer.clone()),
            Err(Trouble::Row(reason)) => Landing::Row(*reason),
            Err(Trouble::Run(error)) => Landing::Run(error.kind(), error.to_string()),
        });
        outcome
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, Trouble> {
        match self.endpoint.ask(ask).await {
            Ok(reply) => Ok(reply.answer),
            Err(Refusal::Fatal(error)) => Err(Trouble::Run(error)),
            Err(_) => Err(Trouble::Row(Reason::GaveUp)),
        }
    }

    /// The first of equal asks: from the journal, or asked and journaled.
    async fn first(&self, line: &Line, ask: &Ask, key: u128, bytes: usize) -> Result<Answer, Trouble> {
        let Some(journal) = &line.journal else {
            return Ok(self.tried(line, ask, key, bytes).await?.answer);
        };
        if let Some(entry) = journal.get(key).map_err(Trouble::Run)? {
            line.meter.cached(line.role);
            return Ok(entry.reply.answer);
        }
        let reply = self.tried(line, ask, key, bytes).await?;
        let identity = self.endpoint.identity_of(ask).to_owned();
        let entry = Entry { reply, role: line.role, identity, unix_ms: journal.unix_ms() };
        journal.put(key, &entry).map_err(Trouble::Run)?;
        Ok(entry.reply.answer)
    }

    /// Asks until there is an answer, or until asking is of no use.
    async fn tried(&self, line: &Line, ask: &Ask, key: u128, bytes: usize) -> Result<Reply, Trouble> {
        let tokens =
            u64::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u64::MAX).saturating_add(most_written(ask));
        let mut waits = line.retry.waits(key);
        let answers = line.limiter.health().answers();
        let (mut broken, mut waited) = (0, 0);
        loop {
            if line.stop.is_raised() {
                return Err(Trouble::Run(Error::new(ErrorKind::Interrupted, "stopped while asking")));
            }
            let turn = line.limiter.enter(tokens).await;
            let call = line.meter.call(line.role, broken + waited == 0);
            let reply = self.endpoint.ask(ask).await;
            drop(call);
            let wait = match reply {
                Ok(reply) => {
                    turn.answered(reply.usage.input_tokens + reply.usage.output_tokens);
                    line.meter.used(line.role, reply.usage);
                    return Ok(reply);
                }
                Err(Refusal::Fatal(error)) => return Err(Trouble::Run(error)),
                Err(Refusal::Rejected(why)) => {
                    line.limiter.health().alive();
                    return Err(self.gave_up(line, &why));
                }
                Err(Refusal::Transient(why)) => {
                    drop(turn);
                    broken += 1;
                    if broken >= line.retry.tries {
                        return Err(self.gave_up(line, &why));
                    }
                    tracing::debug!(role = line.role.name(), tries = broken, why, "asking again");
                    None
                }
                Err(Refusal::Busy { after }) => {
                    turn.slowed();
                    waited += 1;
                    self.patience(line, waited, answers, "busy")?;
                    after
                }
                Err(Refusal::Away(why)) => {
                    turn.slowed();
                    waited += 1;
                    self.patience(line, waited, answers, &why)?;
                    None
                }
            };
            let own = waits.next().unwrap_or(line.retry.most_wait);
            // A server that says when is believed; one that says "now" is not.
            tokio::time::sleep(wait.filter(|wait| !wait.is_zero()).map_or(own, |wait| line.believed(wait)))
                .await;
        }
    }

    /// Whether to wait on for an endpoint that is busy or away.
    fn patience(&self, line: &Line, waited: u32, answers: u64, why: &str) -> Result<(), Trouble> {
        let health = line.limiter.health();
        let long = health.troubled();
        if long > line.retry.give_up_after {
            return Err(Trouble::Run(Error::unavailable(format!(
                "endpoint away: model={}, seconds={}, last={why}, remedy=run again when it is back; what was answered \
                 is in the journal",
                self.endpoint.identity(),
                long.as_secs()
            ))));
        }
        if waited > PATIENCE.saturating_mul(line.retry.tries) && health.answers() > answers {
            return Err(self.gave_up(line, why));
        }
        tracing::debug!(role = line.role.name(), waited, why, "waiting for the endpoint");
        Ok(())
    }

    /// A row without answer, or the end of the run if no row has one.
    fn gave_up(&self, line: &Line, why: &str) -> Trouble {
        let faults = line.meter.fault(line.role);
        let in_a_row = line.limiter.health().gave_up();
        if in_a_row >= line.retry.most_faults_in_a_row {
            return Trouble::Run(Error::unavailable(format!(
                "endpoint answers nothing: model={}, given_up_in_a_row={in_a_row}, last={why}, remedy=see its log and \
                 its settings, then run again",
                self.endpoint.identity()
            )));
        }
        if faults.is_power_of_two() {
            tracing::warn!(role = line.role.name(), faults, why, "given up on a row");
        }
        Trouble::Row(Reason::GaveUp)
    }
}

impl Line {
    fn followed(&self, landing: Landing) -> Result<Answer, Trouble> {
        match landing {
            Landing::Answer(answer) => {
                self.meter.cached(self.role);
                Ok(answer)
            }
            Landing::Row(reason) => Err(Trouble::Row(reason)),
            Landing::Run(kind, what) => Err(Trouble::Run(Error::new(kind, what))),
        }
    }

    fn believed(&self, wait: Duration) -> Duration {
        wait.clamp(self.retry.first_wait.min(self.retry.give_up_after), self.retry.give_up_after)
    }
}

/// The most tokens an ask may write, for limits per minute.
fn most_written(ask: &Ask) -> u64 {
    match ask {
        Ask::Chat { max_tokens, .. } => u64::from(*max_tokens),
        Ask::Complete { openers, max_tokens, .. } => {
            u64::try_from(openers.len()).unwrap_or(u64::MAX).saturating_mul(u64::from(*max_tokens))
        }
        Ask::Translate { text, .. } => u64::try_from(text.len() / BYTES_PER_TOKEN).unwrap_or(u64::MAX),
        Ask::LogProb { .. } | Ask::Embed { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
