//! Asking until there is an answer, or until asking is of no use.
//!
//! **Why**: what to do next depends on what went wrong. A broken reply is asked for again soon, elsewhere first; a busy or
//! absent endpoint is paused and the next one takes over; a refused request goes to the next endpoint, once each; a wrong
//! key or model closes its endpoint for this run. Only when no endpoint is left that may answer does the row end, or the
//! run.

use super::{Backend, Line, PATIENCE, Trouble};
use crate::error::{Error, ErrorKind};
use crate::llm::budget::Hold;
use crate::llm::money::Money;
use crate::llm::tokens::characters_of;
use crate::llm::{Ask, Refusal, Reply, Usage};
use crate::model::Reason;
use std::time::Duration;

/// Asks in a row that an endpoint may break off before others are preferred for a while.
const STUMBLES: u32 = 8;

/// One ask on its way through the endpoints of its route.
pub(super) struct Tries<'a> {
    line: &'a Line,
    route: &'a [&'a Backend],
    /// Endpoints that refused this ask.
    spent: Vec<bool>,
    /// The endpoint that broke this ask off last: others are tried before it.
    broke: Option<usize>,
    broken: u32,
    waited: u32,
    answers: u64,
}

/// An answer that was paid for.
pub(super) struct Paid<'a> {
    pub(super) backend: &'a Backend,
    pub(super) reply: Reply,
    pub(super) cost: Money,
    /// Of the budget; to be kept until the answer is.
    pub(super) hold: Hold<'a>,
}

/// What to do after a refusal.
enum Next {
    /// Another endpoint, at once.
    Elsewhere,
    /// Wait as the retries say, or as long as the server wants.
    Wait(Option<Duration>),
    /// A reply that is none says nothing of the server's load: wait shortly.
    Soon,
}

impl<'a> Tries<'a> {
    pub(super) fn new(line: &'a Line, route: &'a [&'a Backend]) -> Self {
        let mut tries = Self {
            line,
            route,
            spent: vec![false; route.len()],
            broke: None,
            broken: 0,
            waited: 0,
            answers: 0,
        };
        tries.answers = tries.answers_now();
        tries
    }

    /// The answer, and who gave it. `seed` sets the waits apart.
    pub(super) async fn ask(mut self, ask: &Ask, seed: u128) -> Result<Paid<'a>, Trouble> {
        let characters = characters_of(ask);
        // Counted once by each endpoint that is asked.
        let mut counts: Vec<Option<Usage>> = vec![None; self.route.len()];
        let line = self.line;
        let retry = self.route.first().map(|first| first.retry).unwrap_or_default();
        let (mut waits, mut short) = (retry.waits(seed), retry.short_waits(seed));
        loop {
            if line.stop.is_raised() {
                return Err(Trouble::Run(Error::new(ErrorKind::Interrupted, "stopped while asking")));
            }
            let Some((at, backend)) = self.choose() else { return Err(self.nobody_left()) };
            let most = match counts.get_mut(at) {
                Some(count) => *count.get_or_insert_with(|| backend.counter.most_of(ask)),
                None => backend.counter.most_of(ask),
            };
            let health = backend.health();
            let pauses = health.pauses();
            let turn = backend.limiter.enter(most).await;
            if health.pauses() != pauses && self.another_is_open(at) {
                // It went away while this ask stood in line.
                continue;
            }
            let reserve = line.meter.budget().reserve(most, backend.prices.cost(most, characters));
            let mut hold = reserve.await.map_err(Trouble::Run)?;
            let call = line.meter.call(line.role, &backend.name, self.broken + self.waited == 0);
            let (reply, usage) = billed(backend.endpoint.ask(ask).await, most);
            drop(call);
            let mut cost = Money::ZERO;
            if let Some(usage) = usage {
                cost = backend.prices.cost(usage, characters);
                line.meter.used(line.role, &backend.name, usage, cost);
                hold.charge(usage, cost);
            }
            if reply.is_err() {
                // Waiting to try again keeps nobody else from asking.
                hold = Hold::default();
            }
            let next = match reply {
                Ok(reply) => {
                    turn.answered(reply.usage);
                    return Ok(Paid { backend, reply, cost, hold });
                }
                Err(Refusal::Busy { after }) => {
                    turn.slowed();
                    let own = waits.next().unwrap_or(retry.most_wait);
                    self.busy(at, after.unwrap_or(own), "busy")?;
                    self.elsewhere_or(at, after.or(Some(own)))
                }
                Err(Refusal::Away(why)) => {
                    turn.slowed();
                    let own = waits.next().unwrap_or(retry.most_wait);
                    if health.broke() == 1 {
                        tracing::warn!(endpoint = backend.name, why, "endpoint away: paused");
                    }
                    self.busy(at, own, &why)?;
                    self.elsewhere_or(at, Some(own))
                }
                Err(Refusal::Transient(reason, why)) => {
                    drop(turn);
                    self.broke_off(at, reason, &why)?
                }
                Err(Refusal::Rejected(reason, why)) => {
                    drop(turn);
                    health.alive();
                    if let Some(spent) = self.spent.get_mut(at) {
                        *spent = true;
                    }
                    if self.left().next().is_none() {
                        return Err(self.gave_up(reason, &why));
                    }
                    Next::Elsewhere
                }
                Err(Refusal::Paid(refusal, _)) => {
                    return Err(Trouble::Run(Error::bug(format!("a bill within a bill: {refusal:?}"))));
                }
                Err(Refusal::Fatal(error)) => {
                    drop(turn);
                    health.close(&error);
                    if self.left().next().is_none() {
                        return Err(Trouble::Run(error));
                    }
                    tracing::warn!(endpoint = backend.name, why = %error, "endpoint asked no more in this run");
                    Next::Elsewhere
                }
            };
            match next {
                Next::Elsewhere => {}
                // A server that says when is believed; one that says "now" is not.
                Next::Wait(Some(wait)) if !wait.is_zero() => {
                    tokio::time::sleep(believed(&retry, wait)).await;
                }
                Next::Wait(_) => tokio::time::sleep(waits.next().unwrap_or(retry.most_wait)).await,
                Next::Soon => tokio::time::sleep(short.next().unwrap_or(retry.first_wait)).await,
            }
        }
    }

    /// The endpoints that may still answer, by their place in the route.
    fn left(&self) -> impl Iterator<Item = (usize, &'a Backend)> {
        let open = self.route.iter().zip(&self.spent).enumerate();
        open.filter(|(_, (backend, spent))| !**spent && backend.health().closed().is_none())
            .map(|(at, (backend, _))| (at, *backend))
    }

    /// The first open endpoint of the route; if all are paused, the one whose pause ends first.
    fn choose(&self) -> Option<(usize, &'a Backend)> {
        let left: Vec<(usize, &Backend)> = self.left().collect();
        let start = self.broke.map_or(0, |broke| broke + 1);
        let (late, early): (Vec<_>, Vec<_>) = left.iter().copied().partition(|(at, _)| *at >= start);
        if left.len() < 2 {
            return left.first().copied();
        }
        let open = late.into_iter().chain(early).find(|(_, backend)| backend.health().open());
        open.or_else(|| left.into_iter().min_by_key(|(at, backend)| (backend.health().paused(), *at)))
    }

    fn another_is_open(&self, at: usize) -> bool {
        self.left().any(|(other, backend)| other != at && backend.health().paused().is_zero())
    }

    fn elsewhere_or(&self, at: usize, wait: Option<Duration>) -> Next {
        if self.another_is_open(at) { Next::Elsewhere } else { Next::Wait(wait) }
    }

    fn answers_now(&self) -> u64 {
        self.route.iter().map(|backend| backend.health().answers()).sum()
    }

    fn most_tries(&self) -> u32 {
        self.route.iter().map(|backend| backend.retry.tries).max().unwrap_or(1)
    }

    /// An endpoint broke the ask off.
    fn broke_off(&mut self, at: usize, reason: Reason, why: &str) -> Result<Next, Trouble> {
        self.broken += 1;
        self.broke = Some(at);
        if let Some(backend) = self.route.get(at) {
            let over = backend.health().broke().saturating_sub(STUMBLES);
            if over > 0 {
                let wait = backend.retry.first_wait.saturating_mul(1 << over.min(10));
                backend.health().pause(wait.min(backend.retry.most_wait));
            }
        }
        if self.broken >= self.most_tries() {
            return Err(self.gave_up(reason, why));
        }
        tracing::debug!(role = self.line.role.name(), tries = self.broken, why, "asking again");
        let soon = matches!(reason, Reason::Garbled | Reason::WrongModel);
        Ok(if soon { Next::Soon } else { Next::Wait(None) })
    }

    /// An endpoint is busy or away: it is paused, and whether to wait on is decided.
    fn busy(&mut self, at: usize, pause: Duration, why: &str) -> Result<(), Trouble> {
        self.waited += 1;
        self.broke = None;
        let Some(backend) = self.route.get(at) else { return Ok(()) };
        backend.health().pause(believed(&backend.retry, pause));
        let long = backend.health().troubled();
        if self.left().all(|(_, backend)| backend.is_lost()) {
            return Err(Trouble::Run(Error::unavailable(format!(
                "endpoint away: endpoints={}, model={}, seconds={}, last={why}, remedy=run again when it is back; what was \
                 answered is in the journal",
                self.names(),
                backend.endpoint.identity(),
                long.as_secs()
            ))));
        }
        if self.waited > PATIENCE.saturating_mul(self.most_tries()) && self.answers_now() > self.answers {
            return Err(self.gave_up(Reason::GaveUp, why));
        }
        tracing::debug!(role = self.line.role.name(), waited = self.waited, why, "waiting for the endpoint");
        Ok(())
    }

    /// A row without answer, or the end of the run if no row has one.
    fn gave_up(&self, reason: Reason, why: &str) -> Trouble {
        let faults = self.line.meter.fault(self.line.role);
        let mut answering = false;
        let mut in_a_row = u32::MAX;
        for backend in self.route.iter().filter(|backend| backend.health().closed().is_none()) {
            let count = backend.health().gave_up();
            in_a_row = in_a_row.min(count);
            answering |= count < backend.retry.most_faults_in_a_row;
        }
        if !answering {
            return Trouble::Run(Error::unavailable(format!(
                "endpoint answers nothing: endpoints={}, given_up_in_a_row={in_a_row}, reason={}, last={why}, remedy=see \
                 its log and its settings, then run again",
                self.names(),
                reason.name()
            )));
        }
        if faults.is_power_of_two() {
            tracing::warn!(
                role = self.line.role.name(),
                faults,
                reason = reason.name(),
                why,
                "given up on a row"
            );
        }
        Trouble::Row(reason)
    }

    /// Every endpoint of the route is closed, or none has the pair of langs.
    fn nobody_left(&self) -> Trouble {
        let closed = self.route.iter().find_map(|backend| backend.health().closed());
        closed.map_or_else(|| self.gave_up(Reason::Rejected, "no endpoint for this ask"), Trouble::Run)
    }

    fn names(&self) -> String {
        self.route.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// A reply, or why there is none; and what is billed for it, if anything is: a reply that was too long to be read has
/// cost the most it may.
fn billed(reply: Result<Reply, Refusal>, most: Usage) -> (Result<Reply, Refusal>, Option<Usage>) {
    match reply {
        Ok(reply) => {
            let usage = reply.usage;
            (Ok(reply), Some(usage))
        }
        Err(refusal @ Refusal::Rejected(Reason::ReplyTooLong, _)) => (Err(refusal), Some(most)),
        Err(refusal) => {
            let (refusal, usage) = refusal.unpaid();
            (Err(refusal), usage)
        }
    }
}

/// A wait that a server asks for, within reason.
fn believed(retry: &super::Retry, wait: Duration) -> Duration {
    wait.clamp(retry.first_wait.min(retry.give_up_after), retry.give_up_after)
}
