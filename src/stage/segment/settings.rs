//! How long fragments are.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Lengths of fragments, in characters (code points) of the response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentSettings {
    /// The least length, `1..=target_chars`.
    pub least_chars: usize,
    /// The length aimed at, `least_chars..=most_chars`.
    pub target_chars: usize,
    /// The greatest length, `target_chars..=1_000_000`.
    pub most_chars: usize,
    /// Lengths are multiplied by this where few characters say much (Han, Kana, Hangul), `0.1..=1.0`.
    pub dense_scale: f64,
    /// Keep the line directly above the first paragraph of a page. It is a title or an author's name: left out by default.
    pub titles: bool,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self { least_chars: 300, target_chars: 1200, most_chars: 3000, dense_scale: 0.4, titles: false }
    }
}

impl SegmentSettings {
    /// Checks every range. `key` is the name of this table in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let lengths = [
            ("least_chars", self.least_chars, 1..=self.target_chars),
            ("target_chars", self.target_chars, self.least_chars..=self.most_chars),
            ("most_chars", self.most_chars, self.target_chars..=1_000_000),
        ];
        for (name, value, range) in lengths {
            if !range.contains(&value) {
                return Err(Error::config(format!(
                    "setting out of range: key={key}.{name}, value={value}, range={range:?}, remedy=300, 1200 and 3000 suit most corpora"
                )));
            }
        }
        if !(0.1..=1.0).contains(&self.dense_scale) {
            return Err(Error::config(format!(
                "setting out of range: key={key}.dense_scale, value={}, range=0.1..=1.0, remedy=0.4",
                self.dense_scale
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named() {
        SegmentSettings::default().check("segment").expect("defaults hold");
        let told = SegmentSettings { least_chars: 2000, ..SegmentSettings::default() };
        let told = told.check("segment").expect_err("out of range").to_string();
        assert!(told.contains("key=segment.least_chars, value=2000"), "{told}");
        let told = SegmentSettings { dense_scale: f64::NAN, ..SegmentSettings::default() };
        assert!(told.check("segment").is_err());
    }
}
