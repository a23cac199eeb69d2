//! Lengths: of one reply, and of a reply against its source.

use super::Passed;
use crate::model::{Lang, Reason};

/// How many characters of English stand for one of a dense script.
const DENSE: f64 = 2.6;

/// The text has between `least` and `most` characters.
///
/// # Errors
/// [`Reason::Length`] with the characters.
pub fn length_within(text: &str, least: usize, most: usize) -> Passed {
    let chars = text.chars().count();
    if (least..=most).contains(&chars) { Ok(()) } else { Err((Reason::Length, chars as f64)) }
}

/// How many characters, white space aside, an English text has that says what this one says, about.
pub fn in_english(text: &str, lang: Lang) -> f64 {
    text.chars().filter(|c| !c.is_whitespace()).count() as f64 * if lang.dense() { DENSE } else { 1.0 }
}

/// Reply and source are of a length, as far as their scripts allow: characters of the reply per character of the
/// source, where one of a dense script counts 2.6, within `least..=most`. Twenty characters of grace on either side.
///
/// # Errors
/// [`Reason::LengthRatio`] with the ratio.
pub fn ratio_within(source: &str, from: Lang, reply: &str, to: Lang, least: f64, most: f64) -> Passed {
    let (source, reply) = (in_english(source, from), in_english(reply, to));
    let ratio = if source > 0.0 { reply / source } else { 0.0 };
    if reply + 20.0 < source * least || reply > source * most + 20.0 {
        return Err((Reason::LengthRatio, ratio));
    }
    Ok(())
}

/// The text is one line.
///
/// # Errors
/// [`Reason::Malformed`] with the lines.
pub fn one_line(text: &str) -> Passed {
    let lines = text.lines().count();
    if lines <= 1 { Ok(()) } else { Err((Reason::Malformed, lines as f64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    #[test]
    fn dense_scripts_say_more_in_less() {
        let (zh, en) = (lang("cmn_Hani"), lang("eng_Latn"));
        let source = "潮汐是由月球和太阳的引力引起的。".repeat(10);
        let reply = "Tides are caused by the pull of the Moon and the Sun.".repeat(10);
        assert!(ratio_within(&source, zh, &reply, en, 0.5, 2.0).is_ok());
        assert!(ratio_within(&reply, en, &source, zh, 0.5, 2.0).is_ok());
        assert!(ratio_within(&reply, en, &source, en, 0.5, 2.0).is_err());
    }

    #[test]
    fn half_a_translation_is_found_and_a_short_one_has_grace() {
        let en = lang("eng_Latn");
        assert!(ratio_within(&"palavra ".repeat(100), en, &"word ".repeat(40), en, 0.5, 2.0).is_err());
        assert!(ratio_within("Sim", en, "Yes, of course", en, 0.5, 2.0).is_ok());
        assert!(ratio_within("", en, &"x".repeat(30), en, 0.5, 2.0).is_err());
    }
}
