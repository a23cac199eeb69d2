//! Languages and scripts of replies.

use super::Passed;
use crate::model::{Lang, Reason};
use crate::stage::excerpt::excerpt;
use crate::stage::identify::Identifier;
use std::sync::Arc;
use unicode_script::{Script, UnicodeScript};

/// Tells whether a reply is in the wanted language, by its script and, where a model is at hand, by that.
#[derive(Clone)]
pub struct Tongue {
    identifier: Option<Arc<dyn Identifier>>,
    least_confidence: f64,
    sample_chars: usize,
}

impl Tongue {
    /// * `identifier`: without one, only scripts are looked at.
    /// * `least_confidence`: how sure it must be of another language for a fault, `0.0..=1.0`.
    /// * `sample_chars`: how much of a reply it reads.
    pub fn new(identifier: Option<Arc<dyn Identifier>>, least_confidence: f64, sample_chars: usize) -> Self {
        Self { identifier, least_confidence, sample_chars }
    }

    /// The reply is in `lang`: most of its letters are of the script, and it is not with confidence in another
    /// language.
    ///
    /// # Errors
    /// [`Reason::WrongLang`] with the confidence in the other language, or the share of letters of other scripts.
    pub fn speaks(&self, reply: &str, lang: Lang) -> Passed {
        in_script(reply, lang)?;
        let found = self
            .identifier
            .as_ref()
            .and_then(|model| model.identify(excerpt(reply, self.sample_chars, lang)));
        match found {
            Some((other, confidence)) if other != lang && f64::from(confidence) >= self.least_confidence => {
                Err((Reason::WrongLang, f64::from(confidence)))
            }
            _ => Ok(()),
        }
    }
}

/// At least half of the letters are of the lang's script. A text without letters passes.
///
/// # Errors
/// [`Reason::WrongLang`] with the share of the others.
pub fn in_script(text: &str, lang: Lang) -> Passed {
    match script_share(text, lang) {
        Some(share) if share < 0.5 => Err((Reason::WrongLang, 1.0 - share)),
        _ => Ok(()),
    }
}

/// The share of a text's letters that are of the lang's script; `None` if it has no letters, or the lang no script.
pub fn script_share(text: &str, lang: Lang) -> Option<f64> {
    let name = lang.tag().split('_').nth(1)?;
    let wanted: &[Script] = match name {
        "Jpan" => &[Script::Han, Script::Hiragana, Script::Katakana],
        "Hans" | "Hant" | "Hani" => &[Script::Han],
        "Kore" | "Hang" => &[Script::Hangul, Script::Han],
        _ => &[Script::from_short_name(name)?],
    };
    let (mut own, mut letters) = (0_u32, 0_u32);
    for script in text.chars().filter(|c| c.is_alphabetic()).map(|c| c.script()) {
        if matches!(script, Script::Common | Script::Inherited | Script::Unknown) {
            continue;
        }
        letters += 1;
        own += u32::from(wanted.contains(&script));
    }
    (letters > 0).then(|| f64::from(own) / f64::from(letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(&'static str, f32);

    impl Identifier for Says {
        fn identify(&self, _text: &str) -> Option<(Lang, f32)> {
            Some((Lang::from_tag(self.0).unwrap_or(Lang::UND), self.1))
        }
    }

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    #[test]
    fn every_lang_of_the_table_has_a_script_that_is_known() {
        for lang in Lang::all() {
            assert!(script_share("a天йあ한", lang).is_some(), "{lang}");
        }
    }

    #[test]
    fn a_reply_in_another_script_is_found_and_foreign_names_are_not() {
        assert!(in_script("潮汐是由月球引起的", lang("eng_Latn")).is_err());
        assert!(in_script("The tides", lang("cmn_Hani")).is_err());
        assert!(in_script("如何安装 Linux 系统和常用软件？", lang("cmn_Hani")).is_ok());
        assert!(in_script("東京タワーはいつ？", lang("jpn_Jpan")).is_ok());
        assert!(in_script("2 + 2 = 4", lang("tha_Thai")).is_ok());
    }

    #[test]
    fn doubt_is_no_fault() {
        let por = lang("por_Latn");
        let speaks = |said, sure| {
            Tongue::new(Some(Arc::new(Says(said, sure))), 0.8, 1000).speaks("Como funciona?", por)
        };
        assert!(speaks("spa_Latn", 0.9).is_err());
        assert!(speaks("spa_Latn", 0.7).is_ok());
        assert!(speaks("por_Latn", 0.9).is_ok());
        assert!(Tongue::new(None, 0.8, 1000).speaks("anything at all", por).is_ok());
    }
}
