//! Which endpoints of a role an ask goes to, in what order.
//!
//! **Why**: the order is a function of the ask alone, so that a rerun prefers what the first run preferred, and equal
//! asks meet. Weighted rendezvous hashing: each endpoint draws as many numbers as its weight from the ask, the highest
//! wins, and an endpoint that comes or goes moves only its own share of the asks. All in integers, so that every machine
//! gets the same order.

use super::Backend;
use crate::llm::Ask;
use std::cmp::Reverse;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The endpoints that can answer the ask, the preferred one first. `canonical` are the ask's bytes.
pub(super) fn route<'a>(backends: &'a [Backend], ask: &Ask, canonical: &[u8]) -> Vec<&'a Backend> {
    let mut able: Vec<&Backend> = backends.iter().filter(|backend| backend.answers(ask)).collect();
    if able.len() > 1 {
        let seed = xxh3_64(canonical);
        able.sort_by_cached_key(|b| (b.priority, Reverse(draw(seed, &b.name, b.weight)), b.name.clone()));
    }
    able
}

/// The highest of `weight` numbers that a name draws.
fn draw(seed: u64, name: &str, weight: u32) -> u64 {
    let own = xxh3_64_with_seed(name.as_bytes(), seed);
    (0..weight).map(|turn| xxh3_64_with_seed(&turn.to_le_bytes(), own)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::desk::Retry;
    use crate::llm::limiter::{Limiter, Limits};
    use crate::llm::scripted::Scripted;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn backend(name: &str, weight: u32, priority: u32) -> Backend {
        let limiter = Limiter::new(Limits::default());
        Backend::new(name, Arc::new(Scripted::echo()), limiter, Retry::default()).ranked(weight, priority)
    }

    fn firsts(backends: &[Backend], asks: u32) -> Vec<String> {
        let ask = Ask::Embed { text: String::new() };
        (0..asks).map(|i| route(backends, &ask, &i.to_le_bytes())[0].name.clone()).collect()
    }

    #[test]
    fn shares_are_as_the_weights_say() {
        let backends = [backend("a", 1, 0), backend("b", 3, 0), backend("spare", 100, 1)];
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        firsts(&backends, 8000).into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
        assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!((1800..2200).contains(&counts["a"]), "{counts:?}");
    }

    #[test]
    fn the_order_is_of_the_ask_and_not_of_the_list() {
        let there = [backend("a", 2, 0), backend("b", 1, 0), backend("c", 1, 0)];
        let back = [backend("c", 1, 0), backend("b", 1, 0), backend("a", 2, 0)];
        assert_eq!(firsts(&there, 500), firsts(&back, 500));
        // Who goes leaves the others' asks where they were.
        let without = [backend("a", 2, 0), backend("c", 1, 0)];
        for (before, after) in firsts(&there, 500).iter().zip(firsts(&without, 500)) {
            assert!(*before == after || before == "b");
        }
    }
}
