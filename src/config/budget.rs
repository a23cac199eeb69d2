//! The most that one run may spend.

use super::endpoints::within;
use crate::error::Result;
use crate::llm::budget::Most;
use crate::llm::money::Money;
use serde::{Deserialize, Serialize};

/// Settings of the budget, `[budget]`: no limit where absent. They cannot change a row; a run that ends at one goes on from
/// the journal when it is raised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Money, in the currency of the endpoints' prices, `0.0..=1e9`.
    pub money: Option<f64>,
    /// Tokens, read and written, by every endpoint, `0..=1e15`.
    pub tokens: Option<u64>,
    /// Requests to every endpoint, embedded ones and further tries included, `0..=1e15`.
    pub calls: Option<u64>,
    /// Minutes after which nothing more is asked, `0.0..=525600`.
    pub minutes: Option<f64>,
}

impl BudgetSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let whole = |count: Option<u64>| count.unwrap_or(0) as f64;
        for (name, value, most) in [
            ("money", self.money.unwrap_or(0.0), 1e9),
            ("tokens", whole(self.tokens), 1e15),
            ("calls", whole(self.calls), 1e15),
            ("minutes", self.minutes.unwrap_or(0.0), 525_600.0),
        ] {
            within(key, name, value, 0.0..=most, "leave it out for no limit")?;
        }
        Ok(())
    }

    /// As the desks take it.
    pub fn most(&self) -> Most {
        Most {
            money: self.money.map(Money::of),
            tokens: self.tokens,
            calls: self.calls,
            minutes: self.minutes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_checked() {
        let told = |text: &str| {
            let settings: BudgetSettings = toml::from_str(text).expect("a number");
            settings.check("budget").expect_err(text).to_string()
        };
        for text in
            ["money = -0.1", "money = nan", "money = inf", "tokens = 2000000000000000", "minutes = -1.0"]
        {
            let name = text.split(' ').next().expect("a name");
            let said = told(text);
            assert!(
                said.contains(&format!("key=budget.{name}, value=")) && said.contains("remedy="),
                "{said}"
            );
        }
        BudgetSettings::default().check("budget").expect("no limit");
    }
}
