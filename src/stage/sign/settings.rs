//! The shape of signatures.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The shape of signatures. A change renames every signature, and with it every duplicate cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignSettings {
    /// Bands per signature, `1..=256`; more bands find weaker matches.
    pub bands: usize,
    /// Lanes per band, `1..=64`; more rows ask for stronger matches.
    pub rows: usize,
    /// Lanes in the sketch, an even number in `2..=4096`; four bits are kept of each. More cost memory, not time.
    pub sketch_lanes: usize,
    /// Words per shingle where words have spaces, `1..=32`.
    pub shingle_words: usize,
    /// Characters per shingle where they have not, `1..=32`.
    pub shingle_chars: usize,
}

impl Default for SignSettings {
    fn default() -> Self {
        Self { bands: 16, rows: 5, sketch_lanes: 512, shingle_words: 5, shingle_chars: 5 }
    }
}

impl SignSettings {
    /// A shape for instructions: single words of short English texts, and more bands, as their shingles are few.
    pub fn instructions() -> Self {
        Self { bands: 24, rows: 4, sketch_lanes: 256, shingle_words: 1, shingle_chars: 2 }
    }

    /// Checks every range. `key` is the name of this table in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let usual = Self::default();
        for (name, value, most, usual) in [
            ("bands", self.bands, 256, usual.bands),
            ("rows", self.rows, 64, usual.rows),
            ("sketch_lanes", self.sketch_lanes, 4096, usual.sketch_lanes),
            ("shingle_words", self.shingle_words, 32, usual.shingle_words),
            ("shingle_chars", self.shingle_chars, 32, usual.shingle_chars),
        ] {
            if !(1..=most).contains(&value) || (name == "sketch_lanes" && value % 2 == 1) {
                return Err(Error::config(format!(
                    "setting out of range: key={key}.{name}, value={value}, range=1..={most}, remedy={usual} is the default"
                )));
            }
        }
        Ok(())
    }

    /// The chance that two texts of this Jaccard meet in at least one band.
    pub fn meeting_chance(&self, jaccard: f64) -> f64 {
        let band = (0..self.rows).fold(1.0, |chance, _| chance * jaccard);
        1.0 - (0..self.bands).fold(1.0, |chance, _| chance * (1.0 - band))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_finds_what_it_must_and_mistakes_are_named() {
        let shape = SignSettings::default();
        shape.check("sign").expect("defaults hold");
        SignSettings::instructions().check("near_instruction").expect("hold too");
        assert!(shape.meeting_chance(0.8) >= 0.998);
        assert!(shape.meeting_chance(0.1) < 2e-4);
        let told = SignSettings { sketch_lanes: 3, ..shape }.check("sign").expect_err("odd").to_string();
        assert!(told.contains("key=sign.sketch_lanes, value=3"), "{told}");
    }
}
