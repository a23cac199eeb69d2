//! What calls will cost, about: tokens from the journal, money from prices, hours from limits.
//!
//! **Why**: a plan must say what a run costs before the first call. What a call of a role reads and writes is the mean of
//! the answers that the journal has for it; where it has none, the mean is assumed ([`ASSUMED`]) and said to be. All
//! of it is an estimate; as calls are an upper bound, so are money and hours as far as the means hold.

use super::plan::CHAIN;
use crate::config::{EndpointSettings, Kind, Settings};
use crate::error::Result;
use crate::llm::journal::Journal;
use crate::llm::money::Money;
use crate::llm::{Role, Usage};
use crate::model::Lang;
use crate::telemetry::Tally;
use serde::Serialize;
use std::collections::BTreeMap;

/// Tokens that a call reads and writes where the journal has no answer of its role: a fragment of some 1,200 characters
/// and its prompt.
pub const ASSUMED: [(Role, Usage); 5] = [
    (Role::Translate, Usage { input_tokens: 800, output_tokens: 400 }),
    (Role::Instruct, Usage { input_tokens: 700, output_tokens: 60 }),
    (Role::Score, Usage { input_tokens: 800, output_tokens: 10 }),
    (Role::Embed, Usage { input_tokens: 300, output_tokens: 0 }),
    (Role::Localize, Usage { input_tokens: 400, output_tokens: 60 }),
];

/// Seconds that a request takes, for the hours of endpoints that nothing but `in_flight` limits.
pub const ASSUMED_SECONDS: f64 = 2.0;

/// Characters that a token stands for at most, for endpoints that take money by the character.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// What calls cost, about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Calls at most.
    pub calls: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What the dearest endpoint of the role's best priority takes for it.
    pub money: Money,
}

/// The answers of a role in the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) answers: u64,
    input_tokens: u128,
    output_tokens: u128,
}

/// The answers of the journal, by role: one pass over it.
pub(super) fn known(journal: &Journal) -> Result<BTreeMap<Role, Known>> {
    let mut known: BTreeMap<Role, Known> = BTreeMap::new();
    journal.each(|_, entry| {
        if let Some(entry) = entry {
            let sum = known.entry(entry.role).or_default();
            sum.answers += 1;
            sum.input_tokens += u128::from(entry.reply.usage.input_tokens);
            sum.output_tokens += u128::from(entry.reply.usage.output_tokens);
        }
        Ok(())
    })?;
    Ok(known)
}

/// What a role's calls cost.
pub(super) struct Rates {
    mean: (Known, Usage),
    endpoints: Vec<EndpointSettings>,
}

impl Rates {
    /// Of a role whose answers are `known`; the endpoints are those of its best priority, which are asked first.
    pub(super) fn of(settings: &Settings, role: Role, known: Known) -> Result<Self> {
        let all = settings.endpoints_of(role)?;
        let best = all.values().map(|endpoint| endpoint.priority).min();
        let endpoints = all.into_values().filter(|endpoint| Some(endpoint.priority) == best).collect();
        let assumed = ASSUMED.into_iter().find(|(of, _)| *of == role).map(|(_, usage)| usage);
        Ok(Self { mean: (known, assumed.unwrap_or_default()), endpoints })
    }

    /// Whether the means are those of the journal.
    pub(super) fn measured(&self) -> bool {
        self.mean.0.answers > 0
    }

    /// Tokens of so many calls, rounded up.
    fn usage(&self, calls: u64) -> Usage {
        let (known, assumed) = self.mean;
        let of = |sum: u128, one: u64| {
            let all = match known.answers {
                0 => u128::from(one) * u128::from(calls),
                answers => (sum * u128::from(calls)).div_ceil(u128::from(answers)),
            };
            u64::try_from(all).unwrap_or(u64::MAX)
        };
        Usage {
            input_tokens: of(known.input_tokens, assumed.input_tokens),
            output_tokens: of(known.output_tokens, assumed.output_tokens),
        }
    }

    pub(super) fn estimate(&self, calls: u64) -> Estimate {
        let usage = self.usage(calls);
        let cost = |endpoint: &EndpointSettings| {
            let prices = endpoint.prices();
            let by_request = Money::of_nano(prices.request).times(calls);
            let characters = usage.input_tokens.saturating_mul(CHARACTERS_PER_TOKEN);
            let rest = crate::llm::money::Prices { request: 0, ..prices };
            rest.cost(usage, characters) + by_request
        };
        let money = self.endpoints.iter().map(cost).max().unwrap_or_default();
        let Usage { input_tokens, output_tokens } = usage;
        Estimate { calls, input_tokens, output_tokens, money }
    }

    /// Hours of so many calls if the endpoints did nothing else, by their limits; `None` for embedded models, which have
    /// none.
    pub(super) fn hours(&self, calls: u64) -> Option<f64> {
        let one = self.usage(1);
        let (input, output) = (one.input_tokens as f64, one.output_tokens as f64);
        let mut per_minute = 0.0;
        for endpoint in &self.endpoints {
            if endpoint.kind == Kind::Embedded {
                return None;
            }
            let by = |limit: Option<u64>, tokens: f64| {
                limit.filter(|_| tokens > 0.0).map(|limit| limit as f64 / tokens)
            };
            let limits = [
                endpoint.requests_per_minute.map(f64::from),
                by(endpoint.tokens_per_minute, input + output),
                by(endpoint.input_tokens_per_minute, input),
                by(endpoint.output_tokens_per_minute, output),
            ];
            let flight = f64::from(endpoint.in_flight) * 60.0 / ASSUMED_SECONDS;
            per_minute += limits.into_iter().flatten().fold(flight, f64::min);
        }
        (per_minute > 0.0).then(|| calls as f64 / per_minute / 60.0)
    }
}

/// So many calls of a role, shared among the langs as its rows of the state are. Empty where the state has none.
pub(super) fn by_lang(
    before: &Tally,
    role: Role,
    calls: u64,
    rates: &Rates,
) -> BTreeMap<&'static str, Estimate> {
    let Some((_, stage)) = CHAIN.into_iter().find(|(of, _)| *of == role) else { return BTreeMap::new() };
    let lines = before.lines().into_iter().filter(|((at, _), _)| *at == stage);
    let rows: Vec<(Lang, u64)> =
        lines.map(|((_, lang), line)| (lang, u64::try_from(line.entered).unwrap_or(0))).collect();
    let all: u128 = rows.iter().map(|(_, rows)| u128::from(*rows)).sum();
    let share = |rows: u64| {
        u64::try_from((u128::from(calls) * u128::from(rows)).div_ceil(all.max(1))).unwrap_or(u64::MAX)
    };
    let rows = rows.into_iter().filter(|(_, rows)| *rows > 0 && calls > 0);
    rows.map(|(lang, rows)| (lang.tag(), rates.estimate(share(rows)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let text = "input = ['a']\nroles.instruct = 'gpt'\n[endpoints.gpt]\nkind = 'http'\nurl = 'http://h/v1'\n\
                    model = 'm'\nin_flight = 60\nrequests_per_minute = 600\ntokens_per_minute = 76000\n\
                    price_input = 1.0\nprice_output = 10.0\nprice_request = 0.001";
        Settings::parse(text, &[]).expect("valid")
    }

    #[test]
    fn tokens_are_assumed_until_they_are_measured() {
        let rates = Rates::of(&settings(), Role::Instruct, Known::default()).expect("an endpoint");
        let cost = rates.estimate(1000);
        assert!(!rates.measured());
        // 700,000 read, 60,000 written, 1,000 requests: 0.7 + 0.6 + 1.0.
        assert_eq!((cost.input_tokens, cost.output_tokens, cost.money), (700_000, 60_000, Money::of(2.3)));
        // 76,000 tokens a minute are 100 calls a minute: the least of the limits.
        assert!((rates.hours(6000).expect("http") - 1.0).abs() < 1e-9);
        let known = Known { answers: 3, input_tokens: 100, output_tokens: 10 };
        let rates = Rates::of(&settings(), Role::Instruct, known).expect("an endpoint");
        let cost = rates.estimate(6);
        assert_eq!((rates.measured(), cost.input_tokens, cost.output_tokens), (true, 200, 20));
        let embedded = Rates::of(&settings(), Role::Embed, known).expect("embedded");
        assert_eq!((embedded.hours(9), embedded.estimate(9).money), (None, Money::ZERO));
    }
}
