//! What each role cost: calls, tokens and the time its endpoint was at work.

use crate::llm::{Role, Usage};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Counts per role; shared by all desks of a run.
#[derive(Debug, Default)]
pub struct Meter {
    tallies: [Tally; Role::ALL.len()],
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
    /// What `role` has cost so far.
    pub fn figures(&self, role: Role) -> Figures {
        let tally = self.tally(role);
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let busy = tally.busy();
        let open = busy.since.map_or(Duration::ZERO, |since| since.elapsed());
        Figures {
            calls: of(&tally.calls),
            cached: of(&tally.cached),
            retries: of(&tally.retries),
            faults: of(&tally.faults),
            input_tokens: of(&tally.input_tokens),
            output_tokens: of(&tally.output_tokens),
            busy: busy.total + open,
        }
    }

    /// A try begins; the span ends when it is dropped.
    pub(super) fn call(&self, role: Role, first: bool) -> Span<'_> {
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

    fn tally(&self, role: Role) -> &Tally {
        let [translate, instruct, score, embed, localize] = &self.tallies;
        match role {
            Role::Translate => translate,
            Role::Instruct => instruct,
            Role::Score => score,
            Role::Embed => embed,
            Role::Localize => localize,
        }
    }
}

impl Tally {
    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

/// A call under way.
pub(super) struct Span<'a> {
    tally: &'a Tally,
}

impl Drop for Span<'_> {
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
