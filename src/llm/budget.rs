//! The most that a run may spend: money, tokens, requests, time.
//!
//! **Why**: what cannot be undone must not be begun. Before a request is sent, the most that it may cost is set aside;
//! where the budget does not bear it, it waits until what is in flight has told its true cost, and once nothing is in
//! flight that could give something back, the budget is closed: nothing more is sent, and the run ends with
//! [`ErrorKind::Budget`]. So every answer that was paid for is in the journal by then, and a rerun goes on from there.
//! What is set aside is exact where a server counts as `tokens` does and keeps the limit it was given; where it counts
//! more, the budget is overspent by no more than that difference over what was in flight.

use super::Usage;
use super::money::Money;
use crate::error::{Error, ErrorKind};
use crate::telemetry::Clock;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

const MINUTE_MS: f64 = 60_000.0;

/// Limits of one run; none where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Most {
    /// Money.
    pub money: Option<Money>,
    /// Tokens, read and written together.
    pub tokens: Option<u64>,
    /// Requests sent, further tries included.
    pub calls: Option<u64>,
    /// Minutes since the budget was made.
    pub minutes: Option<f64>,
}

/// What a run may spend and has spent; shared by all desks of a run.
#[derive(Default)]
pub struct Budget {
    most: Most,
    clock: Option<(Arc<dyn Clock>, u64)>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    money: Money,
    tokens: u64,
    calls: u64,
    held_money: Money,
    held_tokens: u64,
    in_flight: u64,
    /// By the limit of this name.
    closed: Option<&'static str>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("most", &self.most)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

impl Budget {
    /// A budget whose time begins now.
    pub fn new(most: Most, clock: Arc<dyn Clock>) -> Self {
        let now = clock.unix_ms();
        Self { most, clock: Some((clock, now)), ..Self::default() }
    }

    /// Sets aside what a request may cost at most. Returns once the budget bears it; the request is counted as sent.
    ///
    /// # Errors
    /// [`ErrorKind::Budget`] once the budget bears no more and nothing is in flight.
    pub async fn reserve(&self, usage: Usage, money: Money) -> Result<Hold<'_>, Error> {
        if self.most == Most::default() {
            return Ok(Hold::default());
        }
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            // Whatever settles after this line is heard.
            settled.as_mut().enable();
            {
                let mut state = self.state();
                let Some(limit) = state.closed.or_else(|| self.short(&state, tokens, money)) else {
                    state.calls += 1;
                    state.held_money += money;
                    state.held_tokens = state.held_tokens.saturating_add(tokens);
                    state.in_flight += 1;
                    return Ok(Hold { budget: Some(self), money, tokens });
                };
                if state.in_flight == 0 {
                    state.closed = Some(limit);
                    let state = *state;
                    self.settled.notify_waiters();
                    return Err(self.spent(&state, limit, tokens, money));
                }
            }
            settled.await;
        }
    }

    /// The limit that does not bear this much more.
    fn short(&self, state: &State, tokens: u64, money: Money) -> Option<&'static str> {
        let over_money = |most| state.money + state.held_money + money > most;
        let over_tokens = |most| state.tokens.saturating_add(state.held_tokens).saturating_add(tokens) > most;
        if self.most.money.is_some_and(over_money) {
            Some("money")
        } else if self.most.tokens.is_some_and(over_tokens) {
            Some("tokens")
        } else if self.most.calls.is_some_and(|most| state.calls >= most) {
            Some("calls")
        } else if self.most.minutes.is_some_and(|most| self.minutes() >= most) {
            Some("minutes")
        } else {
            None
        }
    }

    fn minutes(&self) -> f64 {
        let passed = self.clock.as_ref().map_or(0, |(clock, start)| clock.unix_ms().saturating_sub(*start));
        passed as f64 / MINUTE_MS
    }

    fn spent(&self, state: &State, limit: &str, tokens: u64, money: Money) -> Error {
        let value = match limit {
            "tokens" => self.most.tokens.unwrap_or(0).to_string(),
            "calls" => self.most.calls.unwrap_or(0).to_string(),
            "minutes" => self.most.minutes.unwrap_or(0.0).to_string(),
            _ => self.most.money.unwrap_or_default().to_string(),
        };
        Error::new(
            ErrorKind::Budget,
            format!(
                "budget spent: key=budget.{limit}, value={value}, spent: money={}, tokens={}, calls={}, next ask at most: \
                 money={money}, tokens={tokens}, remedy=raise budget.{limit} and run again: what was paid is in the journal",
                state.money, state.tokens, state.calls
            ),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is set aside for a request in flight; given back when it is dropped. It is kept until the answer is journaled.
#[derive(Debug, Default)]
pub struct Hold<'a> {
    budget: Option<&'a Budget>,
    money: Money,
    tokens: u64,
}

impl Hold<'_> {
    /// The request cost this much.
    pub fn charge(&mut self, usage: Usage, money: Money) {
        let Some(budget) = self.budget else { return };
        let mut state = budget.state();
        state.money += money;
        state.tokens = state.tokens.saturating_add(usage.input_tokens).saturating_add(usage.output_tokens);
        state.give_back(std::mem::take(&mut self.money), std::mem::take(&mut self.tokens));
    }
}

impl State {
    fn give_back(&mut self, money: Money, tokens: u64) {
        self.held_money = self.held_money.less(money);
        self.held_tokens = self.held_tokens.saturating_sub(tokens);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let Some(budget) = self.budget else { return };
        let mut state = budget.state();
        state.give_back(self.money, self.tokens);
        state.in_flight -= 1;
        drop(state);
        budget.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    struct Given(AtomicU64);

    impl Clock for Given {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn budget(most: Most) -> Budget {
        Budget::new(most, Arc::new(Given(AtomicU64::new(5))))
    }

    fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens }
    }

    #[tokio::test]
    async fn what_is_in_flight_is_awaited_before_the_budget_is_closed() {
        let budget = budget(Most { tokens: Some(100), ..Most::default() });
        let mut first = budget.reserve(tokens(10, 70), Money::ZERO).await.expect("borne");
        // Does not fit beside the most of the first, fits beside its true cost.
        let second = budget.reserve(tokens(10, 70), Money::ZERO);
        let (second, ()) = tokio::join!(second, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            first.charge(tokens(10, 5), Money::ZERO);
            drop(first);
        });
        let mut second = second.expect("borne");
        second.charge(tokens(10, 70), Money::ZERO);
        drop(second);
        let error = budget.reserve(tokens(5, 5), Money::ZERO).await.expect_err("95 are spent");
        assert_eq!(error.kind(), ErrorKind::Budget);
        assert!(error.to_string().contains("key=budget.tokens, value=100"), "{error}");
        // Closed for all, whatever they want.
        budget.reserve(tokens(0, 0), Money::ZERO).await.expect_err("closed");
    }

    #[tokio::test]
    async fn money_and_calls_and_minutes_are_limits_too() {
        let none = Most::default();
        let poor = budget(Most { money: Some(Money::of(0.5)), ..none });
        poor.reserve(tokens(1, 1), Money::of(0.5)).await.expect("borne").charge(tokens(1, 1), Money::of(0.4));
        let error = poor.reserve(tokens(1, 1), Money::of(0.2)).await.expect_err("0.1 is left");
        assert!(error.to_string().contains("budget.money, value=0.500000"), "{error}");

        let two = budget(Most { calls: Some(2), ..none });
        for _ in 0..2 {
            drop(two.reserve(tokens(1, 1), Money::ZERO).await.expect("borne"));
        }
        let error = two.reserve(tokens(1, 1), Money::ZERO).await.expect_err("two were sent");
        assert!(error.to_string().contains("budget.calls"), "{error}");

        let clock = Arc::new(Given(AtomicU64::new(5)));
        let told: Arc<dyn Clock> = Arc::<Given>::clone(&clock);
        let short = Budget::new(Most { minutes: Some(1.0), ..none }, told);
        drop(short.reserve(tokens(1, 1), Money::ZERO).await.expect("borne"));
        clock.0.store(60_005, Ordering::SeqCst);
        let error = short.reserve(tokens(1, 1), Money::ZERO).await.expect_err("late");
        assert!(error.to_string().contains("budget.minutes"), "{error}");
    }
}
