//! One endpoint of a role: what is asked, how much at once, and what its share is.

use super::Retry;
use crate::llm::limiter::Limiter;
use crate::llm::limiter::health::Health;
use crate::llm::money::Prices;
use crate::llm::tokens::Counter;
use crate::llm::{Ask, Endpoint};
use std::sync::Arc;

/// An endpoint as the desk of a role sees it.
#[derive(Clone)]
pub struct Backend {
    pub(super) name: String,
    pub(super) endpoint: Arc<dyn Endpoint>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) retry: Retry,
    pub(super) weight: u32,
    pub(super) priority: u32,
    pub(super) prices: Prices,
    pub(super) counter: Counter,
}

impl Backend {
    /// The endpoint that the settings name `name`. The limiter is the endpoint's, whatever role asks.
    pub fn new(name: &str, endpoint: Arc<dyn Endpoint>, limiter: Arc<Limiter>, retry: Retry) -> Self {
        Self {
            name: name.to_owned(),
            counter: endpoint.counter(),
            endpoint,
            limiter,
            retry,
            weight: 1,
            priority: 0,
            prices: Prices::default(),
        }
    }

    /// With a share next to others of the same priority (`1..=100`), and a priority: the least is asked first.
    #[must_use]
    pub fn ranked(mut self, weight: u32, priority: u32) -> Self {
        (self.weight, self.priority) = (weight, priority);
        self
    }

    /// With what it takes for its work.
    #[must_use]
    pub fn priced(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self
    }

    pub(super) fn health(&self) -> &Health {
        self.limiter.health()
    }

    /// Whether it can answer the ask: translators have their pairs.
    pub(super) fn answers(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Translate { from, to, .. } => self.endpoint.translates(*from, *to),
            _ => true,
        }
    }

    /// How many seconds it has answered nobody, as far as it counts: none if it is asked no more.
    pub(super) fn is_lost(&self) -> bool {
        let health = self.health();
        health.closed().is_some() || health.troubled_for().is_some_and(|long| long > self.retry.give_up_after)
    }
}
