//! What the model stages have in flight: the size of a bundle, and the credits of a pass.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Limits of the rows between their second reading and the end of a pass, per worker. They cannot change a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundleSettings {
    /// Most rows of a bundle, `1..=4096`. All rows of a bundle are asked at once and go on together.
    pub rows: u32,
    /// Most bytes of native text of a bundle, `1..=268435456`; a longer row travels alone.
    pub bytes: u64,
    /// Rows in flight, `1..=1048576`: at least the sum of the endpoints' `in_flight` keeps them busy.
    pub in_flight_rows: u32,
    /// Bytes of native text in flight, `1..=68719476736`. English text and instructions come to about as much again.
    pub in_flight_bytes: u64,
}

impl Default for BundleSettings {
    fn default() -> Self {
        Self { rows: 8, bytes: 256 << 10, in_flight_rows: 1024, in_flight_bytes: 32 << 20 }
    }
}

impl BundleSettings {
    /// Checks every range; `key` is the path of this table in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let range = |field: &str, value: u64, range: RangeInclusive<u64>, remedy: &str| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!(
                "setting out of range: key={key}.{field}, value={value}, range={range:?}, remedy={remedy}"
            )))
        };
        range("rows", self.rows.into(), 1..=4096, "8 suits most endpoints")?;
        range("bytes", self.bytes, 1..=256 << 20, "262144 suits web pages")?;
        range("in_flight_rows", self.in_flight_rows.into(), 1..=1 << 20, "1024, or what the endpoints take")?;
        range("in_flight_bytes", self.in_flight_bytes, 1..=64 << 30, "33554432, or what memory allows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_checked() {
        assert!(BundleSettings::default().check("bundles").is_ok());
        for field in ["rows", "bytes", "in_flight_rows", "in_flight_bytes"] {
            let settings: BundleSettings = toml::from_str(&format!("{field} = 0")).expect("a number");
            let told = settings.check("bundles").expect_err("zero").to_string();
            assert!(told.contains(&format!("key=bundles.{field}, value=0, range=1..=")), "{told}");
        }
    }
}
