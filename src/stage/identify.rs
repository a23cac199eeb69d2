//! Identifies the lang of every fragment.
//!
//! **Why**: a page declares one language and holds several, so each fragment is asked about itself. Identification is
//! the slowest step of the front, so it reads a bounded sample: pieces from the start, the middle and the end. The model's
//! answer stands even where the shard says otherwise: what a shard says is the answer of another model to the whole
//! page, and the declared lang only ever decided how the page was cut. lid.176 names languages without scripts;
//! `data/langs.tsv` gives each the script it is mostly written in (`zh` is `cmn_Hani`).
//! **In** drafts with their document's lang. **Out** drafts with their own. **State** none. **Faults** none.

use super::segment::through;
use crate::error::{Error, Result};
use crate::model::{Drafts, Epoch, Lang, Note, Reason, Stage, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use timely::dataflow::Stream;

/// Tells the lang of a text.
pub trait Identifier: Send + Sync {
    /// The likeliest lang and its probability; `None` if there is nothing to say. [`Lang::UND`] is a language
    /// that the table of langs does not have.
    fn identify(&self, text: &str) -> Option<(Lang, f32)>;
}

/// Which langs go on, and how sure the model must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentifySettings {
    /// Tags of `data/langs.tsv`, as `por_Latn`; empty for all of them.
    pub wanted: Vec<String>,
    /// The least probability of the model's answer, `0.0..=1.0`.
    pub least_confidence: f32,
    /// How much of a fragment the model reads, in characters, `20..=100_000`: a third each from its start, middle and end.
    pub sample_chars: usize,
}

impl Default for IdentifySettings {
    fn default() -> Self {
        Self { wanted: Vec::new(), least_confidence: 0.5, sample_chars: 200 }
    }
}

impl IdentifySettings {
    /// Checks every range, and that each wanted lang is in the table.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        if let Some(tag) = self.wanted.iter().find(|tag| Lang::from_tag(tag).is_none()) {
            return Err(Error::config(format!(
                "lang unknown: key={key}.wanted, value={tag:?}, range=tags of data/langs.tsv, remedy=language and script as in por_Latn"
            )));
        }
        if !(0.0..=1.0).contains(&self.least_confidence) {
            return Err(Error::config(format!(
                "setting out of range: key={key}.least_confidence, value={}, range=0.0..=1.0, remedy=0.5",
                self.least_confidence
            )));
        }
        if !(20..=100_000).contains(&self.sample_chars) {
            return Err(Error::config(format!(
                "setting out of range: key={key}.sample_chars, value={}, range=20..=100000, remedy=200",
                self.sample_chars
            )));
        }
        Ok(())
    }
}

/// The decision for the fragments of a run: settings resolved, a buffer kept.
#[derive(Clone)]
pub struct Selector {
    wanted: Vec<Lang>,
    least_confidence: f32,
    sample_chars: usize,
    sample: String,
}

impl Selector {
    /// A selector; unknown tags are the business of [`IdentifySettings::check`].
    pub fn new(settings: &IdentifySettings) -> Self {
        let mut wanted: Vec<Lang> = settings.wanted.iter().filter_map(|tag| Lang::from_tag(tag)).collect();
        wanted.sort_unstable();
        let IdentifySettings { least_confidence, sample_chars, .. } = *settings;
        Self { wanted, least_confidence, sample_chars, sample: String::new() }
    }

    /// The lang of a fragment, or why it is dropped and under which lang that counts.
    ///
    /// # Errors
    /// The verdict: [`Reason::UnsureLang`], [`Reason::UnknownLang`] or [`Reason::OtherLang`], its value the model's probability.
    pub fn lang_of(&mut self, identifier: &dyn Identifier, text: &str) -> Result<Lang, (Lang, Verdict)> {
        sample_of(text, self.sample_chars, &mut self.sample);
        self.decide(identifier.identify(&self.sample))
    }

    /// The decision alone.
    fn decide(&self, answer: Option<(Lang, f32)>) -> Result<Lang, (Lang, Verdict)> {
        let (lang, confidence) = answer.unwrap_or((Lang::UND, 0.0));
        let drop = |reason| Err((lang, Verdict::dropped(Stage::Identify, reason, f64::from(confidence))));
        if confidence.is_nan() || confidence < self.least_confidence {
            drop(Reason::UnsureLang)
        } else if lang == Lang::UND {
            drop(Reason::UnknownLang)
        } else if !self.wanted.is_empty() && self.wanted.binary_search(&lang).is_err() {
            drop(Reason::OtherLang)
        } else {
            Ok(lang)
        }
    }
}

/// Puts a sample of at most about `most` characters into `sample`, on one line: the whole text if it is short, else a
/// third from the start, the middle and the end each, from white space on where there is some.
fn sample_of(text: &str, most: usize, sample: &mut String) {
    sample.clear();
    // Bytes stand in for characters, scaled by the width of the first ones: exact counts are not worth a pass.
    let (chars, head) =
        text.chars().take(32).fold((0, 0), |(chars, bytes), c| (chars + 1, bytes + c.len_utf8()));
    let width = head.div_ceil(chars.max(1)).max(1);
    let bytes = most * width;
    if text.len() <= bytes {
        push_line(text, sample);
        return;
    }
    let third = bytes / 3;
    for start in [0, (text.len() - third) / 2, text.len() - third] {
        let from = boundary(text, start);
        let to = boundary(text, start + third);
        let part = text.get(from..to).unwrap_or_default();
        let whole = match part.find(char::is_whitespace) {
            Some(space) if start > 0 && space < part.len() / 2 => part.get(space..).unwrap_or(part),
            _ => part,
        };
        push_line(whole, sample);
        sample.push(' ');
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

fn push_line(text: &str, line: &mut String) {
    let mut from = 0;
    for end in memchr::memchr2_iter(b'\n', b'\r', text.as_bytes()) {
        line.push_str(text.get(from..end).unwrap_or_default());
        line.push(' ');
        from = end + 1;
    }
    line.push_str(text.get(from..).unwrap_or_default());
}

/// Wires the stage; the contract is on the module page.
pub fn identify<'s>(
    drafts: Stream<'s, Epoch, Drafts>,
    identifier: Arc<dyn Identifier>,
    settings: &IdentifySettings,
) -> (Stream<'s, Epoch, Drafts>, Stream<'s, Epoch, Vec<Note>>) {
    let mut selector = Selector::new(settings);
    through("identify", drafts, move |drafts: &mut Drafts| {
        select(&mut selector, &*identifier, std::mem::take(drafts))
    })
}

fn select(selector: &mut Selector, identifier: &dyn Identifier, drafts: Drafts) -> (Drafts, Vec<Note>) {
    super::quality::retain(drafts, |draft, text| {
        draft.lang = selector.lang_of(identifier, text)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(wanted: &[&str], most: usize) -> Selector {
        let wanted = wanted.iter().map(|tag| (*tag).to_owned()).collect();
        Selector::new(&IdentifySettings { wanted, sample_chars: most, ..IdentifySettings::default() })
    }

    #[test]
    fn each_reason_has_its_case() {
        let por = Lang::from_tag("por_Latn").expect("known");
        let spa = Lang::from_tag("spa_Latn").expect("known");
        let only = selector(&["por_Latn"], 300);
        assert_eq!(only.decide(Some((por, 0.5))).expect("kept"), por);
        let reason = |answer| only.decide(answer).expect_err("dropped").1.reason;
        assert_eq!(reason(Some((por, 0.49))), Reason::UnsureLang);
        assert_eq!(reason(Some((por, f32::NAN))), Reason::UnsureLang);
        assert_eq!(reason(Some((spa, 0.9))), Reason::OtherLang);
        assert_eq!(reason(Some((Lang::UND, 0.9))), Reason::UnknownLang);
        assert_eq!(reason(None), Reason::UnsureLang);
        assert_eq!(selector(&[], 300).decide(Some((spa, 0.9))).expect("kept"), spa);
    }

    #[test]
    fn a_sample_is_bounded_on_one_line_and_holds_start_middle_and_end() {
        let mut sample = String::new();
        for unit in ["palavra ", "слово ", "漢字", "a\u{301}\n", "😀"] {
            let text = format!("START {} MIDDLE {} END", unit.repeat(900), unit.repeat(900));
            sample_of(&text, 300, &mut sample);
            assert!(sample.chars().count() <= 1210, "{}", sample.chars().count());
            assert!(
                sample.starts_with("START") && sample.contains("MIDDLE") && sample.contains("END"),
                "{sample}"
            );
            assert!(!sample.contains(['\n', '\r']));
        }
        sample_of("curto\r\ntexto", 300, &mut sample);
        assert_eq!(sample, "curto  texto");
        sample_of("", 300, &mut sample);
        assert_eq!(sample, "");
    }

    #[test]
    fn a_mistake_in_the_settings_is_named() {
        IdentifySettings::default().check("identify").expect("defaults hold");
        let told = IdentifySettings { wanted: vec!["por".into()], ..IdentifySettings::default() };
        assert!(
            told.check("identify")
                .expect_err("unknown")
                .to_string()
                .contains("identify.wanted, value=\"por\"")
        );
        let told = IdentifySettings { least_confidence: 2.0, ..IdentifySettings::default() };
        assert!(told.check("identify").is_err());
    }
}
