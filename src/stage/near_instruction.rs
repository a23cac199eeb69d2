//! One exchange per cluster of nearly equal instructions.
//!
//! **Why**: a thousand answers to "What is photosynthesis?" teach less than a thousand questions. Instructions
//! are compared in English, where all of them are, but only within a lang: each lang may have its own answer.
//! **In** scored exchanges, may retract. **Out** the best of each cluster by (score, tick, place); the others are
//! dropped as `near_instruction`, value 0. **State** that of dedup. **Faults** none.

use super::by_key::consolidate;
use super::dedup::durable::{Durable, Stored, durable_cluster};
use super::dedup::{Clustered, DedupSettings, cluster};
use super::ranked::BestFirst;
use super::verdicts::Verdicts;
use crate::error::{Error, Result};
use crate::model::{Epoch, Lang, Note, Reason, Scored, Signature, Stage, Verdict};
use crate::state::codec::{Codec, RANK, Shape};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// When two instructions ask the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NearInstructionSettings {
    /// Least resemblance (estimated Jaccard overlap of shingles) of near duplicates, in `0.0..=1.0`.
    pub least_resemblance: f64,
}

impl Default for NearInstructionSettings {
    fn default() -> Self {
        Self { least_resemblance: 0.7 }
    }
}

impl NearInstructionSettings {
    /// Checks the range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names the key, its value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        if (0.0..=1.0).contains(&self.least_resemblance) {
            return Ok(());
        }
        Err(Error::config(format!(
            "setting out of range: key={key}.least_resemblance, value={}, range=0.0..=1.0, \
             remedy=0.7 suits questions",
            self.least_resemblance
        )))
    }
}

/// Wires the stage.
pub fn near_instruction<'s>(
    rows: VecCollection<'s, Epoch, Scored>,
    settings: &NearInstructionSettings,
) -> Verdicts<'s, Scored> {
    let rows = rows.map(|scored| {
        let (node, signature) = within(scored.row.lang, scored.asked, &scored.asked_signature);
        (node, signature, BestFirst::from(scored))
    });
    verdicts_of(cluster("near_instruction", rows, &settings.dedup()))
}

/// As [`near_instruction`], from durable state: the changes of a delta. Rows that go on have no signature any more.
pub(crate) fn near_instruction_durable<'s>(
    rows: VecCollection<'s, Epoch, Scored>,
    ctx: &Durable,
) -> Verdicts<'s, Scored> {
    let rows = rows.map(|mut scored| {
        let (node, signature) = within(scored.row.lang, scored.asked, &scored.asked_signature);
        scored.asked_signature = Signature::default();
        (node, signature, BestFirst::from(scored))
    });
    verdicts_of(durable_cluster(ctx, rows))
}

impl NearInstructionSettings {
    /// In the words of dedup.
    pub(crate) fn dedup(&self) -> DedupSettings {
        DedupSettings { least_resemblance: self.least_resemblance, ..DedupSettings::default() }
    }
}

impl Stored for BestFirst {
    const WIDTH: usize = RANK + 2 + 16 + 4 + 16;

    fn put(&self, codec: &Codec, out: &mut Vec<u8>) {
        // An empty shape takes every signature.
        let _ = codec.put_best_first(&self.scored, Shape::default(), out);
    }

    fn take(codec: &Codec, mut bytes: &[u8]) -> Self {
        Self::from(codec.best_first(Shape::default(), &mut bytes))
    }
}

fn verdicts_of(clustered: Clustered<'_, BestFirst>) -> Verdicts<'_, Scored> {
    let kept = clustered.survivors.map(|(_, ranked)| ranked.scored);
    Verdicts {
        kept: consolidate("near_instruction/kept", kept),
        dropped: clustered.exact.concat(clustered.near).map(|(_, ranked)| note(&ranked.scored)),
    }
}

/// The node and the signature of an instruction such that only those of one lang can meet.
fn within(lang: Lang, asked: u128, signature: &Signature) -> (u128, Signature) {
    let mut bytes = lang.tag().as_bytes().to_vec();
    let salt = xxh3_64(&bytes);
    bytes.extend_from_slice(&asked.to_le_bytes());
    let bands = signature.bands.iter().map(|band| band ^ salt).collect();
    (xxh3_128(&bytes), Signature { bands, sketch: signature.sketch.clone() })
}

fn note(scored: &Scored) -> Note {
    let verdict = Verdict::dropped(Stage::NearInstruction, Reason::NearInstruction, 0.0);
    Note { place: scored.row.place, lang: scored.row.lang, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_meet_within_a_lang_only() {
        let signature = Signature { bands: vec![1, 2], sketch: vec![3] };
        let [por, spa] =
            ["por_Latn", "spa_Latn"].map(|tag| within(Lang::from_tag(tag).expect(tag), 7, &signature));
        assert_ne!(por.0, spa.0);
        assert!(por.1.bands.iter().all(|band| !spa.1.bands.contains(band)));
        assert_eq!(por.1.sketch, signature.sketch);
    }

    #[test]
    fn the_range_is_checked_and_named() {
        assert!(NearInstructionSettings::default().check("select.near_instruction").is_ok());
        let told = NearInstructionSettings { least_resemblance: -0.1 }
            .check("a")
            .expect_err("out of range")
            .to_string();
        assert!(told.contains("key=a.least_resemblance"), "{told}");
    }
}
