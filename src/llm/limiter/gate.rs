//! The gate before an endpoint: a seat in flight, then the pace.

use super::health::Health;
use super::pace::Pace;
use super::window::Window;
use crate::llm::Usage;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What an endpoint bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most requests in flight.
    pub in_flight: u32,
    /// Most requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Most tokens in a minute, read and written.
    pub tokens_per_minute: Option<u64>,
    /// Most tokens read in a minute.
    pub input_tokens_per_minute: Option<u64>,
    /// Most tokens written in a minute.
    pub output_tokens_per_minute: Option<u64>,
}

impl Default for Limits {
    /// None: for endpoints that pace themselves.
    fn default() -> Self {
        Self {
            in_flight: u32::MAX >> 4,
            requests_per_minute: None,
            tokens_per_minute: None,
            input_tokens_per_minute: None,
            output_tokens_per_minute: None,
        }
    }
}

/// Gives turns to ask one endpoint.
#[derive(Debug)]
pub struct Limiter {
    window: Window,
    start: Instant,
    requests: Option<Mutex<Pace>>,
    /// Read and written together, read, written.
    tokens: [Option<Mutex<Pace>>; 3],
    health: Health,
}

impl Limiter {
    /// One per endpoint and process, shared by all who ask it.
    pub fn new(limits: Limits) -> Arc<Self> {
        let pace = |units: f64| Mutex::new(Pace::per_minute(units));
        Arc::new(Self {
            window: Window::new(limits.in_flight),
            start: Instant::now(),
            requests: limits.requests_per_minute.map(|units| pace(f64::from(units))),
            tokens: [
                limits.tokens_per_minute,
                limits.input_tokens_per_minute,
                limits.output_tokens_per_minute,
            ]
            .map(|limit| limit.map(|units| pace(units as f64))),
            health: Health::default(),
        })
    }

    /// Waits for a turn of about so many tokens.
    pub async fn enter(&self, tokens: Usage) -> Turn<'_> {
        let mark = self.window.enter().await;
        let turn = Turn { limiter: self, mark, tokens };
        if self.requests.is_none() && self.tokens.iter().all(Option::is_none) {
            return turn;
        }
        let now = self.start.elapsed().as_secs_f64();
        let mut wait = take(self.requests.as_ref(), now, 1.0);
        for (pace, cost) in self.tokens.iter().zip(costs(tokens)) {
            wait = wait.max(take(pace.as_ref(), now, cost));
        }
        if wait > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
        turn
    }

    /// How the endpoint fares.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The limit of requests in flight now.
    pub fn limit(&self) -> u32 {
        self.window.limit()
    }
}

/// What a turn costs each of the limits on tokens.
fn costs(tokens: Usage) -> [f64; 3] {
    let (input, output) = (tokens.input_tokens as f64, tokens.output_tokens as f64);
    [input + output, input, output]
}

fn take(pace: Option<&Mutex<Pace>>, now: f64, cost: f64) -> f64 {
    pace.map_or(0.0, |pace| pace.lock().unwrap_or_else(PoisonError::into_inner).take(now, cost))
}

/// One request's turn; its seat goes back when it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    limiter: &'a Limiter,
    mark: u64,
    tokens: Usage,
}

impl Turn<'_> {
    /// The endpoint answered, and counted these tokens (0 if it counts none).
    pub fn answered(self, tokens: Usage) {
        self.limiter.window.grow();
        self.limiter.health.answered();
        if tokens.input_tokens + tokens.output_tokens == 0 {
            return;
        }
        for ((pace, counted), taken) in self.limiter.tokens.iter().zip(costs(tokens)).zip(costs(self.tokens))
        {
            if let Some(pace) = pace {
                pace.lock().unwrap_or_else(PoisonError::into_inner).correct(counted - taken);
            }
        }
    }

    /// The endpoint was busy or away: fewer ask at once.
    pub fn slowed(self) {
        self.limiter.window.cut(self.mark);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.limiter.window.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens }
    }

    #[tokio::test]
    async fn tokens_read_and_written_have_limits_of_their_own() {
        for (limits, slow) in [
            (Limits { input_tokens_per_minute: Some(6000), ..Limits::default() }, tokens(100, 0)),
            (Limits { output_tokens_per_minute: Some(6000), ..Limits::default() }, tokens(0, 100)),
            (Limits { tokens_per_minute: Some(6000), ..Limits::default() }, tokens(50, 50)),
        ] {
            let limiter = Limiter::new(limits);
            let start = Instant::now();
            // A hundred a second, one second ahead: the third turn of a hundred is due at one second.
            for _ in 0..3 {
                limiter.enter(slow).await.answered(slow);
            }
            assert!(start.elapsed() >= Duration::from_millis(900), "{limits:?}");
        }
        let limiter = Limiter::new(Limits { input_tokens_per_minute: Some(100), ..Limits::default() });
        let start = Instant::now();
        for _ in 0..100 {
            limiter.enter(tokens(0, 1000)).await.answered(tokens(0, 1000));
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "what is written costs nothing of what may be read"
        );
    }

    #[tokio::test]
    async fn never_more_in_flight_than_the_limit() {
        let limiter = Limiter::new(Limits { in_flight: 3, ..Limits::default() });
        let now = Arc::new(AtomicU32::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..40_u32 {
            let (limiter, now) = (Arc::clone(&limiter), Arc::clone(&now));
            tasks.spawn(async move {
                let turn = limiter.enter(tokens(1, 0)).await;
                assert!(now.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::time::sleep(Duration::from_millis(1)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                if i % 7 == 0 { turn.slowed() } else { turn.answered(tokens(1, 0)) }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no more than three");
        }
    }

    #[tokio::test]
    async fn the_pace_holds_turns_back() {
        let limits = Limits { requests_per_minute: Some(1200), ..Limits::default() };
        let limiter = Limiter::new(limits);
        let start = Instant::now();
        for _ in 0..25 {
            limiter.enter(tokens(1, 0)).await.answered(tokens(1, 0));
        }
        // 20 a second, one second ahead: the 25th is due at 0.2 s.
        let took = start.elapsed();
        assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
}
