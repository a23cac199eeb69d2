//! Selection: threshold, one exchange per instruction, quota per cell, in this order.
//!
//! **Why**: all of it happens before localize, so a rejected pair costs no call. The three stages are one
//! function of the set of scored exchanges, whatever the order of arrival.

use super::near_instruction::{NearInstructionSettings, near_instruction};
use super::quota::{QuotaSettings, quota};
use super::threshold::{ThresholdSettings, threshold};
use super::verdicts::Verdicts;
use crate::error::Result;
use crate::model::{Epoch, Scored};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};

/// Settings of selection, `[select]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSettings {
    /// The codebook of cells: `topics-1` (for the embedded vectors), `none` (one cell), or a file that
    /// `isogloss codebook` built.
    pub codebook: String,
    /// What scores enough.
    pub threshold: ThresholdSettings,
    /// What asks the same.
    pub near_instruction: NearInstructionSettings,
    /// How much of a cell is kept.
    pub quota: QuotaSettings,
}

impl Default for SelectSettings {
    fn default() -> Self {
        Self {
            codebook: super::codebook::SHIPPED.to_owned(),
            threshold: ThresholdSettings::default(),
            near_instruction: NearInstructionSettings::default(),
            quota: QuotaSettings::default(),
        }
    }
}

impl SelectSettings {
    /// Checks every part.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the key, its value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        self.threshold.check(&format!("{key}.threshold"))?;
        self.near_instruction.check(&format!("{key}.near_instruction"))?;
        self.quota.check(&format!("{key}.quota"))
    }
}

/// Wires the three stages one after the other.
pub fn select<'s>(rows: VecCollection<'s, Epoch, Scored>, settings: &SelectSettings) -> Verdicts<'s, Scored> {
    let enough = threshold(rows, &settings.threshold);
    let distinct = near_instruction(enough.kept, &settings.near_instruction);
    let selected = quota(distinct.kept, &settings.quota);
    Verdicts {
        kept: selected.kept,
        dropped: enough.dropped.concatenate([distinct.dropped, selected.dropped]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked_under_their_key() {
        let text =
            "[threshold]\nfixed = 0.3\n[near_instruction]\nleast_resemblance = 0.8\n[quota]\nalpha = 3.0";
        let settings: SelectSettings = toml::from_str(text).expect("known keys");
        let told = settings.check("select").expect_err("alpha is too large").to_string();
        assert!(told.contains("key=select.quota.alpha"), "{told}");
        assert!(SelectSettings::default().check("select").is_ok());
    }
}
