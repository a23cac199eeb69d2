//! What each role cost: calls, tokens and the time its endpoint was at work.

use crate::llm::{Role, Usage};
use crate::model::Lang;
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
}

#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    cached: AtomicU64,
    retries: AtomicU64,
    faults: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
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
    /// Time in which at least one call was under way.
    pub busy: Duration,
}

impl Meter {
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
            busy: sum.busy + figures.busy,
        })
    }

    /// What each role has cost so far for each lang.
    pub fn figures_by_lang(&self) -> BTreeMap<(Role, Lang), Figures> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().map(|(key, tally)| (*key, tally.figures())).collect()
    }

    /// A try begins; the span ends when it is dropped.
    pub(super) fn call(&self, role: Role, first: bool) -> Span {
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

    pub(super) fn cached(&self, role: Role) {
        add(&self.tally(role).cached, 1);
    }

    /// Counts a fault, and gives the count.
    pub(super) fn fault(&self, role: Role) -> u64 {
        self.tally(role).faults.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn used(&self, role: Role, usage: Usage) {
        add(&self.tally(role).input_tokens, usage.input_tokens);
        add(&self.tally(role).output_tokens, usage.output_tokens);
    }

    fn tally(&self, role: Role) -> Arc<Tally> {
        let lang = SERVED.try_with(|lang| *lang).unwrap_or(Lang::UND);
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tallies.entry((role, lang)).or_default())
    }
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
        let first = meter.call(Role::Score, true);
        let second = meter.call(Role::Score, false);
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
