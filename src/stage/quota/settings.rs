//! How much of a lang is kept, and how evenly over its cells.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Settings of the quota.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSettings {
    /// Share to keep of the exchanges of a lang that reach this stage, in `0.0..=1.0`, in millionths; 1 is no quota.
    pub target_rate: f64,
    /// Temper, in `0.0..=1.0`, in millionths: 0 gives every cell the same, 1 gives it its share, 0.5 lies between.
    pub alpha: f64,
    /// Exchanges that score less than this, in the unit of the scorer, fill no cell; without it, all do.
    pub floor: Option<f64>,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self { target_rate: 1.0, alpha: 0.5, floor: None }
    }
}

impl QuotaSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the key, its value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let unit = [
            ("target_rate", self.target_rate, "1.0 keeps everything"),
            ("alpha", self.alpha, "0.5 lies between equal cells and no temper"),
        ];
        for (field, value, remedy) in unit {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(format!(
                    "setting out of range: key={key}.{field}, value={value}, range=0.0..=1.0, remedy={remedy}"
                )));
            }
        }
        match self.floor {
            Some(floor) if !floor.is_finite() => Err(Error::config(format!(
                "setting out of range: key={key}.floor, value={floor}, range=any number, \
                 remedy=a score of the scorer"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_and_named() {
        let of =
            |text: &str| toml::from_str::<QuotaSettings>(text).expect("known keys").check("select.quota");
        assert!(of("").is_ok() && of("target_rate = 0.0\nalpha = 1\nfloor = -2.5").is_ok());
        for (text, key) in
            [("target_rate = 2.0", "target_rate"), ("alpha = nan", "alpha"), ("floor = nan", "floor")]
        {
            let told = of(text).expect_err("out of range").to_string();
            assert!(told.contains(&format!("key=select.quota.{key}")), "{told}");
        }
    }
}
