//! What each role cost: calls, tokens and the time its endpoint was at work.

use crate::llm::budget::Budget;
use crate::llm::money::Money;
use crate::llm::{Role, Usage};
use crate::model::Lang;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

tokio::task_local! {
    /// The lang of the row that the task works for.
    static SERVED: Lang;
}

/// Runs `work` on behalf of a row of this lang: what it asks is counted there.
pub fn serving<F: Future>(lang: Lang, work: F) -> impl Future<Output = F::Output> {
    SERVED.scope(lang, work)
}

/// Counts per role and lang; shared by all desks of a run.
#[derive(Debug, Default)]
pub struct Meter {
    tallies: Mutex<BTreeMap<(Role, Lang), Arc<Tally>>>,
    bill: Mutex<BTreeMap<(Role, String, Lang), Billed>>,
    budget: Budget,
}

/// What an endpoint did for a role and lang, as it is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    /// Requests sent, further tries included.
    pub requests: u64,
    /// Replies that are billed, whether they were of use or not.
    pub replies: u64,
    /// Asks answered by the journal, or by an equal ask in flight: they cost nothing.
    pub cached: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What it costs.
    pub money: Money,
}

#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    cached: AtomicU64,
    retries: AtomicU64,
    faults: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    money: Mutex<Money>,
    busy: Mutex<Busy>,
}

/// The union of the times in which at least one call was under way.
#[derive(Debug, Default)]
struct Busy {
    under_way: u32,
    since: Option<Instant>,
    total: Duration,
}

/// What a role has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Asks put to the endpoint, further tries not counted.
    pub calls: u64,
    /// Asks answered by the journal, or by an equal ask in flight.
    pub cached: u64,
    /// Further tries.
    pub retries: u64,
    /// Asks given up.
    pub faults: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What the endpoints take for it.
    pub money: Money,
    /// Time in which at least one call was under way.
    pub busy: Duration,
}

impl Billed {
    /// Adds another line.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.replies += other.replies;
        self.cached += other.cached;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.money += other.money;
    }
}

impl Meter {
    /// A meter of a run that may spend so much.
    pub fn within(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// What the run may spend.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The bill so far, by role, endpoint and lang.
    pub fn bill(&self) -> BTreeMap<(Role, String, Lang), Billed> {
        self.bill.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn billed(&self, role: Role, endpoint: &str, add: impl FnOnce(&mut Billed)) {
        let mut bill = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        add(bill.entry((role, endpoint.to_owned(), served())).or_default());
    }

    /// What `role` has cost so far; the times of langs add up.
    pub fn figures(&self, role: Role) -> Figures {
        let all = self.figures_by_lang();
        let of_role = all.into_iter().filter(|((of, _), _)| *of == role);
        of_role.fold(Figures::default(), |sum, (_, figures)| Figures {
            calls: sum.calls + figures.calls,
            cached: sum.cached + figures.cached,
            retries: sum.retries + figures.retries,
            faults: sum.faults + figures.faults,
            input_tokens: sum.input_tokens + figures.input_tokens,
            output_tokens: sum.output_tokens + figures.output_tokens,
            money: sum.money + figures.money,
            busy: sum.busy + figures.busy,
        })
    }

    /// What each role has cost so far for each lang.
    pub fn figures_by_lang(&self) -> BTreeMap<(Role, Lang), Figures> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().map(|(key, tally)| (*key, tally.figures())).collect()
    }

    /// A try begins; the span ends when it is dropped.
    pub(super) fn call(&self, role: Role, endpoint: &str, first: bool) -> Span {
        self.billed(role, endpoint, |line| line.requests += 1);
        let tally = self.tally(role);
        add(if first { &tally.calls } else { &tally.retries }, 1);
        let mut busy = tally.busy();
        busy.under_way += 1;
        if busy.under_way == 1 {
            busy.since = Some(Instant::now());
        }
        drop(busy);
        Span { tally }
    }

    pub(super) fn cached(&self, role: Role, endpoint: &str) {
        self.billed(role, endpoint, |line| line.cached += 1);
        add(&self.tally(role).cached, 1);
    }

    /// Counts a fault, and gives the count.
    pub(super) fn fault(&self, role: Role) -> u64 {
        self.tally(role).faults.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A reply is billed.
    pub(super) fn used(&self, role: Role, endpoint: &str, usage: Usage, money: Money) {
        self.billed(role, endpoint, |line| {
            line.replies += 1;
            line.input_tokens = line.input_tokens.saturating_add(usage.input_tokens);
            line.output_tokens = line.output_tokens.saturating_add(usage.output_tokens);
            line.money += money;
        });
        let tally = self.tally(role);
        add(&tally.input_tokens, usage.input_tokens);
        add(&tally.output_tokens, usage.output_tokens);
        *tally.money.lock().unwrap_or_else(PoisonError::into_inner) += money;
    }

    fn tally(&self, role: Role) -> Arc<Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tallies.entry((role, served())).or_default())
    }
}

/// The lang of the row that the task works for.
pub(super) fn served() -> Lang {
    SERVED.try_with(|lang| *lang).unwrap_or(Lang::UND)
}

impl Tally {
    fn figures(&self) -> Figures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let busy = self.busy();
        let open = busy.since.map_or(Duration::ZERO, |since| since.elapsed());
        Figures {
            calls: of(&self.calls),
            cached: of(&self.cached),
            retries: of(&self.retries),
            faults: of(&self.faults),
            input_tokens: of(&self.input_tokens),
            output_tokens: of(&self.output_tokens),
            money: *self.money.lock().unwrap_or_else(PoisonError::into_inner),
            busy: busy.total + open,
        }
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

/// A call under way.
pub(super) struct Span {
    tally: Arc<Tally>,
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut busy = self.tally.busy();
        busy.under_way -= 1;
        if busy.under_way == 0 {
            let open = busy.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            busy.total += open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_calls_count_their_time_once() {
        let meter = Meter::default();
        let first = meter.call(Role::Score, "gpt", true);
        let second = meter.call(Role::Score, "gpt", false);
        std::thread::sleep(Duration::from_millis(20));
        drop(first);
        drop(second);
        let figures = meter.figures(Role::Score);
        assert_eq!((figures.calls, figures.retries), (1, 1));
        assert!(
            (Duration::from_millis(20)..Duration::from_millis(39)).contains(&figures.busy),
            "{figures:?}"
        );
        assert_eq!(meter.figures(Role::Embed), Figures::default());
    }
}
