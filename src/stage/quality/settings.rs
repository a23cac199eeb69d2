//! Limits of quality, and what a language changes of them.

use crate::error::{Error, Result};
use crate::model::Lang;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident: $value:literal in $range:expr,)*) => {
        /// What a fragment must keep. Shares are of characters unless said otherwise.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct QualityLimits { $($(#[$doc])* pub $field: f64,)* }

        /// The limits that one language changes.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct QualityOverride { $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<f64>,)* }

        impl Default for QualityLimits {
            fn default() -> Self { Self { $($field: $value,)* } }
        }

        impl QualityLimits {
            /// These limits, with what the language changes.
            #[must_use]
            pub fn with(&self, other: &QualityOverride) -> Self {
                Self { $($field: other.$field.unwrap_or(self.$field),)* }
            }

            fn check(&self, key: &str) -> Result<()> {
                $(in_range(key, stringify!($field), self.$field, $range, $value)?;)*
                Ok(())
            }
        }
    };
}

limits! {
    /// Sentence ends per 1,000 characters (scaled where few characters say much), `0..=100`. Not for scripts without marks.
    least_sentences: 1.5 in 0.0..=100.0,
    /// Share of symbols (money, mathematics, markup, pictures), `0..=1`.
    most_symbols: 0.06 in 0.0..=1.0,
    /// Share of digits among letters and digits, `0..=1`.
    most_digits: 0.2 in 0.0..=1.0,
    /// Share of capitals among letters, `0..=1`.
    most_capitals: 0.3 in 0.0..=1.0,
    /// Share of the language's commonest words among the words, `0..=1`. Languages without a list pass.
    least_stop_words: 0.06 in 0.0..=1.0,
    /// Share of the windows of five words (twelve characters where words have no spaces) that stood before, `0..=1`.
    most_repeats: 0.2 in 0.0..=1.0,
    /// Share of the commonest word that is no stop word among the words, `0..=1`.
    most_one_word: 0.12 in 0.0..=1.0,
    /// Share of lines of under 20 characters, in fragments of 8 lines or more, `0..=1`.
    most_short_lines: 0.6 in 0.0..=1.0,
    /// Mean length of words in letters (marks not counted), `0..=100`. Not for scripts without spaces.
    least_word_length: 2.0 in 0.0..=100.0,
    /// The same, at most.
    most_word_length: 12.0 in 0.0..=100.0,
    /// Links, addresses and mail per 1,000 characters, `0..=1000`.
    most_links: 3.0 in 0.0..=1000.0,
    /// Replacement characters, control codes and signs of a wrong encoding per 1,000 characters, `0..=1000`.
    most_broken: 1.0 in 0.0..=1000.0,
    /// Phrases of notices and offers per 1,000 characters, `0..=1000`.
    most_boilerplate: 2.5 in 0.0..=1000.0,
}

fn in_range(
    key: &str,
    name: &str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    usual: f64,
) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!(
        "setting out of range: key={key}.{name}, value={value}, range={range:?}, remedy={usual} is the default"
    )))
}

/// Limits for every language, and what single languages change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualitySettings {
    /// For every language.
    pub all: QualityLimits,
    /// By tag, as `por_Latn`.
    pub langs: BTreeMap<String, QualityOverride>,
}

impl QualitySettings {
    /// Checks every range, and that each lang is in the table.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        self.all.check(&format!("{key}.all"))?;
        for (tag, change) in &self.langs {
            if Lang::from_tag(tag).is_none() {
                return Err(Error::config(format!(
                    "lang unknown: key={key}.langs, value={tag:?}, range=tags of data/langs.tsv, remedy=language and script as in por_Latn"
                )));
            }
            self.all.with(change).check(&format!("{key}.langs.{tag}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_changes_some_limits_and_mistakes_are_named() {
        let settings: QualitySettings = toml::from_str(
            "[all]\nmost_digits = 0.5\n[langs.deu_Latn]\nmost_capitals = 0.4\n[langs.tha_Thai]\nmost_links = 0",
        )
        .expect("valid");
        settings.check("quality").expect("in range");
        let german = settings.all.with(settings.langs.get("deu_Latn").expect("there"));
        assert!((german.most_capitals - 0.4).abs() < 1e-9 && (german.most_digits - 0.5).abs() < 1e-9);
        let fails = |text: &str| {
            toml::from_str::<QualitySettings>(text)
                .map_err(|cause| cause.to_string())
                .and_then(|settings| settings.check("quality").map_err(|error| error.to_string()))
                .expect_err("wrong")
        };
        assert!(fails("[all]\nmost_digits = 2").contains("key=quality.all.most_digits, value=2"));
        assert!(fails("[langs.german]\n").contains("german"));
        assert!(fails("[langs.deu_Latn]\nmost_links = -1").contains("quality.langs.deu_Latn.most_links"));
        assert!(fails("[all]\nmost_digitz = 2").contains("most_digitz"));
    }
}
