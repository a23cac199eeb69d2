//! What counts as a duplicate, and how much a crowded band may cost.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Settings of dedup. All of them can change the rows that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupSettings {
    /// Least resemblance (estimated Jaccard overlap of shingles) of near duplicates, in `0.0..=1.0`.
    pub least_resemblance: f64,
    /// Contents of one band up to which every pair is verified, in `2..=1024`. A larger band is a crowd: each
    /// content is verified against leaders only.
    pub whole_band: u32,
    /// Leaders of a crowd, in `1..=1_000_000`: what a content is verified against at most, so a band of any size
    /// costs linear time.
    pub most_leaders: u32,
}

impl Default for DedupSettings {
    fn default() -> Self {
        Self { least_resemblance: 0.72, whole_band: 64, most_leaders: 4096 }
    }
}

impl DedupSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names `key.field`, its value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let wrong = |field: &str, value: String, range: &str, remedy: &str| {
            Err(Error::config(format!(
                "setting out of range: key={key}.{field}, value={value}, range={range}, remedy={remedy}"
            )))
        };
        if !(0.0..=1.0).contains(&self.least_resemblance) {
            let value = self.least_resemblance.to_string();
            return wrong("least_resemblance", value, "0.0..=1.0", "0.72 suits prose");
        }
        if !(2..=1024).contains(&self.whole_band) {
            return wrong("whole_band", self.whole_band.to_string(), "2..=1024", "leave it at 64");
        }
        if !(1..=1_000_000).contains(&self.most_leaders) {
            return wrong("most_leaders", self.most_leaders.to_string(), "1..=1000000", "leave it at 4096");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_and_named() {
        assert!(DedupSettings::default().check("dedup").is_ok());
        for (text, field) in [
            ("least_resemblance = 1.5", "dedup.least_resemblance"),
            ("least_resemblance = nan", "dedup.least_resemblance"),
            ("whole_band = 1", "dedup.whole_band"),
            ("most_leaders = 0", "dedup.most_leaders"),
        ] {
            let settings: DedupSettings = toml::from_str(text).expect("a known key");
            let told = settings.check("dedup").expect_err("out of range").to_string();
            assert!(told.contains(field) && told.contains("remedy="), "{told}");
        }
        assert!(toml::from_str::<DedupSettings>("threshold = 0.5").is_err());
    }
}
