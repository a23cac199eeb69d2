//! Threshold on the score, fixed or by target rate.
//!
//! **Why**: what scores low is not worth a localize call. A fixed score says what is good enough; a target rate
//! says how much is wanted, whatever the scale of the scorer.
//! **In** scored exchanges, may retract. **Out** kept or dropped as `low_score`, value = the score.
//! **State** with a target rate: see `shares`; with a fixed score none. **Faults** none.

use super::cut::{CutContext, CutIn, cut};
use super::ranked::BestFirst;
use super::shares::{Shares, counts, take_least};
use super::verdicts::Verdicts;
use crate::error::{Error, Result};
use crate::model::{Epoch, Note, Reason, Ruling, Scored, Stage, Verdict, micros};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Exactly one of its fields is set; with neither, `target_rate` is 0.5.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdSettings {
    /// Keep what scores this much or more, in the unit of the scorer; compared in millionths.
    pub fixed: Option<f64>,
    /// Share of each lang to keep, the best first, in `0.0..=1.0`: of n exchanges the nearest whole number to
    /// rate × n, halves upward. The rate counts in millionths. Equal scores go by tick, then by place.
    pub target_rate: Option<f64>,
}

/// The share that is kept where the settings say nothing.
const DEFAULT_RATE: f64 = 0.5;

impl ThresholdSettings {
    /// The share of each lang that is kept, in `0.0..=1.0`; with a fixed score, which keeps any share, 1.
    pub fn most(&self) -> f64 {
        match self.fixed {
            Some(_) => 1.0,
            None => self.target_rate.unwrap_or(DEFAULT_RATE),
        }
    }

    /// Checks that one field is set, and its range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the key, its value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        match (self.fixed, self.target_rate) {
            (Some(fixed), Some(rate)) => Err(Error::config(format!(
                "two thresholds: key={key}.fixed, value={fixed}, and key={key}.target_rate, value={rate}, \
                 remedy=remove one of them"
            ))),
            (Some(fixed), None) if !fixed.is_finite() => Err(Error::config(format!(
                "setting out of range: key={key}.fixed, value={fixed}, range=any number, \
                 remedy=a score of the scorer"
            ))),
            (None, Some(rate)) if !(0.0..=1.0).contains(&rate) => Err(Error::config(format!(
                "setting out of range: key={key}.target_rate, value={rate}, range=0.0..=1.0, \
                 remedy=0.5 keeps half of each lang"
            ))),
            _ => Ok(()),
        }
    }
}

/// Wires the stage.
pub fn threshold<'s>(
    rows: VecCollection<'s, Epoch, Scored>,
    settings: &ThresholdSettings,
) -> Verdicts<'s, Scored> {
    if let Some(fixed) = settings.fixed {
        let least = micros(fixed);
        return Verdicts {
            kept: rows.clone().filter(move |scored| scored.score >= least),
            dropped: rows.filter(move |scored| scored.score < least).map(|scored| note(&scored)),
        };
    }
    let rate = micros(settings.target_rate.unwrap_or(DEFAULT_RATE));
    let rows = rows.map(|scored| (scored.row.lang, BestFirst::from(scored)));
    let wanted = counts("threshold", rows.clone()).map(move |(lang, count)| (lang, share_of(rate, count)));
    let Shares { kept, left } = take_least("threshold", rows, wanted);
    Verdicts {
        kept: kept.map(|(_, ranked)| ranked.scored),
        dropped: left.map(|(_, ranked)| note(&ranked.scored)),
    }
}

/// As [`threshold`], from durable state: the changes of a delta.
pub(crate) fn threshold_durable<'s>(
    rows: VecCollection<'s, Epoch, Scored>,
    settings: &ThresholdSettings,
    ctx: &CutContext,
) -> Verdicts<'s, Scored> {
    if settings.fixed.is_some() {
        return threshold(rows, settings);
    }
    let rate = micros(settings.target_rate.unwrap_or(DEFAULT_RATE));
    let rows = rows.map(|scored| CutIn::Row(0, scored));
    let judged = cut(ctx, rows, Arc::new(move |_, all, _| vec![share_of(rate, all)]));
    Verdicts {
        kept: judged.clone().filter(|(kept, _)| *kept).map(|(_, scored)| scored),
        dropped: judged.filter(|(kept, _)| !*kept).map(|(_, scored)| note(&scored)),
    }
}

/// The nearest whole number to `rate` millionths of `count`, halves upward.
pub(crate) fn share_of(rate: i64, count: u64) -> u64 {
    let rate = u128::from(rate.clamp(0, 1_000_000).unsigned_abs());
    u64::try_from((rate * u128::from(count) + 500_000) / 1_000_000).unwrap_or(count)
}

fn note(scored: &Scored) -> Note {
    let verdict = Verdict {
        stage: Stage::Threshold,
        ruling: Ruling::Dropped,
        reason: Reason::LowScore,
        value: scored.score,
    };
    Note { place: scored.row.place, lang: scored.row.lang, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_rule_in_its_range() {
        let of = |text: &str| {
            toml::from_str::<ThresholdSettings>(text).expect("known keys").check("select.threshold")
        };
        assert!(of("").is_ok() && of("fixed = -3.5").is_ok() && of("target_rate = 1.0").is_ok());
        for (text, facts) in [
            ("fixed = 0.1\ntarget_rate = 0.5", "remedy=remove one"),
            ("target_rate = 1.1", "range=0.0..=1.0"),
            ("target_rate = nan", "range=0.0..=1.0"),
            ("fixed = inf", "key=select.threshold.fixed"),
        ] {
            let told = of(text).expect_err("out of range").to_string();
            assert!(told.contains(facts), "{told}");
        }
    }

    #[test]
    fn shares_round_halves_upward() {
        assert_eq!(
            [share_of(500_000, 0), share_of(500_000, 1), share_of(500_000, 2), share_of(500_000, 3)],
            [0, 1, 1, 2]
        );
        assert_eq!((share_of(0, 9), share_of(1_000_000, 9), share_of(333_333, 3)), (0, 9, 1));
    }
}
