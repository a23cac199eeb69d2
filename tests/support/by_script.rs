//! Tells languages apart without a model file.

use isogloss::model::Lang;
use isogloss::stage::identify::Identifier;

/// Tells languages apart by their script alone: plain ASCII is English, other Latin Portuguese.
pub(crate) struct ByScript;

impl Identifier for ByScript {
    fn identify(&self, text: &str) -> Option<(Lang, f32)> {
        let tag = text.chars().find_map(|c| match u32::from(c) {
            0x0370..=0x03ff => Some("ell_Grek"),
            0x0400..=0x04ff => Some("rus_Cyrl"),
            0x0600..=0x06ff => Some("arb_Arab"),
            0x0900..=0x097f => Some("hin_Deva"),
            0x0e00..=0x0e7f => Some("tha_Thai"),
            0x1200..=0x137f => Some("amh_Ethi"),
            0x3040..=0x30ff => Some("jpn_Jpan"),
            0xac00..=0xd7af => Some("kor_Hang"),
            0x00c0..=0x017f => Some("por_Latn"),
            _ => None,
        });
        // A short request says too little.
        (text.len() > 150).then(|| (Lang::from_tag(tag.unwrap_or("eng_Latn")).unwrap_or(Lang::UND), 0.9))
    }
}
