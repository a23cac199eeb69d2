//! Money in integers, and what an endpoint takes for its work.
//!
//! **Why**: a bill must not depend on the order in which replies come, and a float's sum does. Prices are read to the
//! billionth of the account's currency; a price is per million, so a cost is a whole number of 10⁻¹⁵ and sums are exact.

use super::Usage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// 10⁻¹⁵ of the currency in 10⁻⁹ of it.
const PER_NANO: u128 = 1_000_000;

/// An amount in the currency of the account, in units of 10⁻¹⁵; it saturates. Written as a plain number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So much of the currency, to the billionth. What is no amount (negative, not a number) is nothing.
    pub fn of(amount: f64) -> Self {
        Self(u128::from(nano(amount)) * PER_NANO)
    }

    /// So many billionths of the currency.
    pub fn of_nano(nano: u64) -> Self {
        Self(u128::from(nano) * PER_NANO)
    }

    /// Billionths of the currency, rounded up.
    pub fn nano(self) -> u64 {
        u64::try_from(self.0.div_ceil(PER_NANO)).unwrap_or(u64::MAX)
    }

    /// The amount as a float, for people and JSON; never summed.
    pub fn amount(self) -> f64 {
        self.0 as f64 / 1e15
    }

    /// What is left of it after `other`, nothing at the least.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many times this much.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(count)))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

/// Four digits behind the point where there are units, six where there are not; rounded up, so that a cost never looks
/// like nothing.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro = u64::try_from(self.0.div_ceil(PER_NANO * 1000)).unwrap_or(u64::MAX);
        let text = if micro < 1_000_000 {
            format!("0.{micro:06}")
        } else {
            let tenth = micro.div_ceil(100);
            format!("{}.{:04}", tenth / 10_000, tenth % 10_000)
        };
        f.pad(&text)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.amount())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::of)
    }
}

/// What an endpoint takes, in billionths of the currency. Cannot change a row, and is no part of any key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    /// For a million tokens read.
    pub input: u64,
    /// For a million tokens written.
    pub output: u64,
    /// For a million characters (Unicode scalar values) of text sent.
    pub characters: u64,
    /// For a request that was answered.
    pub request: u64,
}

impl Prices {
    /// Prices given in the currency: per million tokens read and written, per million characters, per request.
    pub fn of(input: f64, output: f64, characters: f64, request: f64) -> Self {
        Self {
            input: nano(input),
            output: nano(output),
            characters: nano(characters),
            request: nano(request),
        }
    }

    /// Whether it costs nothing.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// What one request costs that was answered.
    pub fn cost(&self, usage: Usage, characters: u64) -> Money {
        let per_million = |count: u64, price: u64| Money(u128::from(count) * u128::from(price));
        per_million(usage.input_tokens, self.input)
            + per_million(usage.output_tokens, self.output)
            + per_million(characters, self.characters)
            + Money::of_nano(self.request)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an `as` cast saturates, and what is no number is 0"
)]
fn nano(amount: f64) -> u64 {
    (amount * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_exact_and_shown_rounded_up() {
        let prices = Prices::of(0.15, 0.6, 20.0, 0.001);
        let usage = Usage { input_tokens: 1000, output_tokens: 10 };
        // 0.00015 + 0.000006 + 0.00002 + 0.001
        let cost = prices.cost(usage, 1);
        assert_eq!(cost, Money::of(0.001_176));
        assert_eq!((cost.nano(), cost.to_string().as_str()), (1_176_000, "0.001176"));
        assert_eq!(
            Prices::of(0.01, 0.0, 0.0, 0.0).cost(Usage { input_tokens: 1, output_tokens: 0 }, 0).to_string(),
            "0.000001"
        );
        assert_eq!(Money::of(1234.56781).to_string(), "1234.5679");
        let many: Money = std::iter::repeat_n(Prices::of(0.1, 0.0, 0.0, 0.0), 1_000_000)
            .map(|prices| prices.cost(Usage { input_tokens: 1, output_tokens: 0 }, 0))
            .sum();
        assert_eq!(many, Money::of(0.1));
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(Money::of(-1.0), Money::ZERO);
        assert_eq!(Money::of(f64::NAN), Money::ZERO);
        let most = Prices { input: u64::MAX, output: u64::MAX, characters: u64::MAX, request: u64::MAX };
        let usage = Usage { input_tokens: u64::MAX, output_tokens: u64::MAX };
        assert!(most.cost(usage, u64::MAX) > Money::of(1e9));
        assert_eq!(Money::of(1.0).less(Money::of(2.0)), Money::ZERO);
        let told = serde_json::to_string(&Money::of(0.25)).expect("a number");
        assert_eq!(serde_json::from_str::<Money>(&told).expect("a number"), Money::of(0.25));
    }
}
