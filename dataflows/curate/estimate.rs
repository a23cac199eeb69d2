//! What calls will cost, about: tokens from a sample and the journal, money from prices, hours from limits.
//!
//! **Why**: a plan must say what a run costs before the first call. What a call reads is measured on asks that were put
//! together for a sample and that the journal does not answer; what it writes, and what no ask was put together for, is the
//! mean of the answers that the journal has of the role. Where it has none, both follow from the length of the text, or
//! are assumed ([`ASSUMED`]). Which of them it was is said.

use super::trial::Trial;
use crate::config::{EndpointSettings, Kind, Settings};
use crate::error::Result;
use crate::llm::desk::Missed;
use crate::llm::journal::Journal;
use crate::llm::money::{Money, Prices};
use crate::llm::{Role, Usage};
use crate::model::Lang;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Tokens that a call reads and writes where nothing is known: a fragment of [`ASSUMED_TEXT`] and its prompt.
pub const ASSUMED: [(Role, Usage); 5] = [
    (Role::Translate, Usage { input_tokens: 800, output_tokens: 400 }),
    (Role::Instruct, Usage { input_tokens: 700, output_tokens: 60 }),
    (Role::Score, Usage { input_tokens: 800, output_tokens: 10 }),
    (Role::Embed, Usage { input_tokens: 300, output_tokens: 0 }),
    (Role::Localize, Usage { input_tokens: 400, output_tokens: 60 }),
];

/// Tokens of English that the fragment of [`ASSUMED`] has, some 1,200 characters.
pub const ASSUMED_TEXT: u64 = 300;

/// Seconds that a request takes, for the hours of endpoints that nothing but `in_flight` limits.
pub const ASSUMED_SECONDS: f64 = 2.0;

/// Characters of English that a token stands for at most.
pub(super) const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// What calls cost, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Calls.
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

/// Where the tokens of a call are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Asks put together for a sample.
    Sample,
    /// The mean of the answers that the journal has of the role.
    Journal,
    /// The length of the text of a sample.
    Length,
    /// Nothing.
    Assumed,
}

/// What a call reads and writes, about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PerCall {
    input: f64,
    output: f64,
    /// Characters sent.
    characters: f64,
    pub(super) input_by: Source,
    pub(super) output_by: Source,
}

impl PerCall {
    /// For a role and a lang, by what is known.
    pub(super) fn of(role: Role, lang: Lang, known: Known, trial: &Trial) -> Self {
        let assumed = ASSUMED.into_iter().find(|(of, _)| *of == role).map(|(_, usage)| usage);
        let assumed = assumed.unwrap_or_default();
        let (input, output) = (assumed.input_tokens as f64, assumed.output_tokens as f64);
        let mut found =
            Self { input, output, characters: 0.0, input_by: Source::Assumed, output_by: Source::Assumed };
        let sampled = || [&trial.new, &trial.again].into_iter().filter_map(|of| of.get(&lang));
        let rows: u64 = sampled().map(|of| of.rows).sum();
        if rows > 0 && role != Role::Localize {
            let text = sampled().map(|of| of.english_tokens).sum::<u64>() as f64 / rows as f64;
            (found.input, found.input_by) = (input - ASSUMED_TEXT as f64 + text, Source::Length);
            if role == Role::Translate {
                (found.output, found.output_by) = (text, Source::Length);
            }
        }
        if known.answers > 0 {
            let mean = |sum: u128| sum as f64 / known.answers as f64;
            (found.input, found.input_by) = (mean(known.input_tokens), Source::Journal);
            (found.output, found.output_by) = (mean(known.output_tokens), Source::Journal);
        }
        let missed = || sampled().filter_map(|of| of.missed.get(&role));
        let asks: u64 = missed().map(|missed| missed.asks).sum();
        found.characters = found.input * CHARACTERS_PER_TOKEN;
        if asks > 0 {
            let mean = |of: fn(&Missed) -> u64| missed().map(of).sum::<u64>() as f64 / asks as f64;
            (found.input, found.input_by) = (mean(|missed| missed.usage.input_tokens), Source::Sample);
            found.characters = mean(|missed| missed.characters);
        }
        found
    }

    /// Tokens and characters of so many calls, rounded up.
    fn times(self, calls: u64) -> (Usage, u64) {
        let of = |one: f64| ceiling(one * calls as f64);
        (Usage { input_tokens: of(self.input), output_tokens: of(self.output) }, of(self.characters))
    }
}

/// The nearest whole number from there on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, and an `as` cast saturates"
)]
pub(super) fn ceiling(value: f64) -> u64 {
    // What is whole but for the error of floating point is whole.
    (value - 1e-6).ceil() as u64
}

/// The endpoints of a role that are asked first: those of its best priority.
pub(super) struct Rates(Vec<EndpointSettings>);

impl Rates {
    pub(super) fn of(settings: &Settings, role: Role) -> Result<Self> {
        let all = settings.endpoints_of(role)?;
        let best = all.values().map(|endpoint| endpoint.priority).min();
        Ok(Self(all.into_values().filter(|endpoint| Some(endpoint.priority) == best).collect()))
    }

    /// So many calls at the dearest of them.
    pub(super) fn estimate(&self, calls: u64, one: PerCall) -> Estimate {
        let (usage, characters) = one.times(calls);
        let cost = |endpoint: &EndpointSettings| {
            let prices = endpoint.prices();
            let by_request = Money::of_nano(prices.request).times(calls);
            Prices { request: 0, ..prices }.cost(usage, characters) + by_request
        };
        let money = self.0.iter().map(cost).max().unwrap_or_default();
        let Usage { input_tokens, output_tokens } = usage;
        Estimate { calls, input_tokens, output_tokens, money }
    }

    /// Hours of so many calls if the endpoints did nothing else, by their limits; `None` for embedded models and batches,
    /// which have none.
    pub(super) fn hours(&self, all: Estimate) -> Option<f64> {
        let one = |tokens: u64| if all.calls == 0 { 0.0 } else { tokens as f64 / all.calls as f64 };
        let (input, output) = (one(all.input_tokens), one(all.output_tokens));
        let mut per_minute = 0.0;
        for endpoint in &self.0 {
            if endpoint.kind != Kind::Http {
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
        (per_minute > 0.0).then(|| all.calls as f64 / per_minute / 60.0)
    }
}

impl AddAssign for Estimate {
    fn add_assign(&mut self, other: Self) {
        let Self { calls, input_tokens, output_tokens, money } = other;
        self.calls += calls;
        self.input_tokens += input_tokens;
        self.output_tokens += output_tokens;
        self.money += money;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curate::trial::Sampled;

    fn rates(role: Role) -> Rates {
        let text = "input = ['a']\nroles.instruct = 'gpt'\n[endpoints.gpt]\nkind = 'http'\nurl = 'http://h/v1'\n\
                    model = 'm'\nin_flight = 60\nrequests_per_minute = 600\ntokens_per_minute = 76000\n\
                    price_input = 1.0\nprice_output = 10.0\nprice_request = 0.001";
        Rates::of(&Settings::parse(text, &[]).expect("valid"), role).expect("an endpoint")
    }

    fn trial(sampled: Sampled) -> Trial {
        Trial { new: BTreeMap::from([(Lang::UND, sampled)]), ..Trial::default() }
    }

    #[test]
    fn tokens_are_assumed_until_they_are_measured() {
        let (rates, nothing) = (rates(Role::Instruct), Trial::default());
        let one = PerCall::of(Role::Instruct, Lang::UND, Known::default(), &nothing);
        assert_eq!((one.input_by, one.output_by), (Source::Assumed, Source::Assumed));
        let cost = rates.estimate(1000, one);
        // 700,000 read, 60,000 written, 1,000 requests: 0.7 + 0.6 + 1.0.
        assert_eq!((cost.input_tokens, cost.output_tokens, cost.money), (700_000, 60_000, Money::of(2.3)));
        // 76,000 tokens a minute are 100 calls a minute: the least of the limits.
        let hours = rates.hours(rates.estimate(6000, one)).expect("http");
        assert!((hours - 1.0).abs() < 1e-9, "{hours}");

        let known = Known { answers: 3, input_tokens: 100, output_tokens: 10 };
        let one = PerCall::of(Role::Instruct, Lang::UND, known, &nothing);
        let cost = rates.estimate(6, one);
        assert_eq!((one.input_by, cost.input_tokens, cost.output_tokens), (Source::Journal, 200, 20));

        // A text half as long as the assumed one; then asks of 50 tokens were put together.
        let mut short = Sampled { rows: 2, english_tokens: ASSUMED_TEXT, ..Sampled::default() };
        let one = PerCall::of(Role::Translate, Lang::UND, Known::default(), &trial(short.clone()));
        assert_eq!((one.input_by, one.times(1).0.output_tokens), (Source::Length, ASSUMED_TEXT / 2));
        let usage = Usage { input_tokens: 100, output_tokens: 999 };
        short.missed.insert(Role::Instruct, Missed { asks: 2, usage, characters: 500 });
        let one = PerCall::of(Role::Instruct, Lang::UND, known, &trial(short));
        let cost = rates.estimate(6, one);
        assert_eq!((one.input_by, cost.input_tokens, cost.output_tokens), (Source::Sample, 300, 20));
        assert_eq!(one.times(2).1, 500, "characters");
    }

    #[test]
    fn embedded_models_cost_nothing() {
        let embedded = rates(Role::Embed);
        let one = PerCall::of(Role::Embed, Lang::UND, Known::default(), &Trial::default());
        let cost = embedded.estimate(9, one);
        assert_eq!((embedded.hours(cost), cost.money), (None, Money::ZERO));
    }
}
