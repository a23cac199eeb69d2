//! Hostile text made safe to print.
//!
//! **Why**: rows, shard names and replies come from strangers. An escape sequence could rewrite what a person has
//! read, retitle the terminal or answer its queries; a direction override could make one text look like another.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control character, direction override and line break escaped, as in `\u{1b}`. Letters of all
/// scripts stay, and so do the joiners that some of them need.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_unsafe(c) => {
                // Writing to a string does not fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Lines for a screen: as [`plain`], but line ends, tabs and the colours that our own printers write stay.
pub fn screen(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_unsafe(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(|c| is_unsafe(c) || c == '\n' || c == '\t') {
        let (before, from) = rest.split_at(at);
        safe.push_str(before);
        let first = from.chars().next().map_or(0, char::len_utf8);
        let kept = if from.starts_with(['\n', '\t']) { first } else { colour(from) };
        let (this, behind) = from.split_at(kept.max(first));
        if kept > 0 {
            safe.push_str(this);
        } else {
            safe.push_str(&plain(this));
        }
        rest = behind;
    }
    safe.push_str(rest);
    Cow::Owned(safe)
}

/// The bytes of a sequence that sets a colour or weight at the beginning of the text; 0 if there is none, or one that
/// hides text.
fn colour(text: &str) -> usize {
    let Some((number, _)) = text.strip_prefix("\u{1b}[").and_then(|inside| inside.split_once('m')) else {
        return 0;
    };
    let short = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if short && number != "8" { number.len() + 3 } else { 0 }
}

/// JSON for a screen: what the standard lets stand raw and a screen obeys is escaped as JSON escapes it.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) && !matches!(c, '\n' | '\t' | '\r') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    let directions =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{200e}' | '\u{200f}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    // Tags, annotation marks and the byte order mark are invisible, and no script needs them in the middle of text.
    let hidden = matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{206a}'..='\u{206f}');
    c.is_control() || directions || breaks || hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_keeps_lines_and_colours_and_nothing_else() {
        let hostile = "a\tb\n\u{1b}[1mc\u{1b}[0m\u{1b}[2Jd\u{1b}[8me\u{9b}31m\u{202e}f\u{1b}]0;x\u{7}";
        assert_eq!(
            screen(hostile),
            "a\tb\n\u{1b}[1mc\u{1b}[0m\\u{1b}[2Jd\\u{1b}[8me\\u{9b}31m\\u{202e}f\\u{1b}]0;x\\u{7}"
        );
        assert!(matches!(screen("ação\nनमस्ते"), Cow::Borrowed(_)));
        assert_eq!(screen("\u{1b}"), "\\u{1b}");
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({ "shard": "a\u{202e}b\u{e0041}\u{1b}c" });
        let written = value.to_string();
        let safe = json(&written);
        assert!(!safe.contains(is_unsafe), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("json"), value);
    }

    #[test]
    fn controls_are_told_and_letters_stay() {
        assert_eq!(plain("\u{1b}]0;x\u{7}\u{9b}2J"), "\\u{1b}]0;x\\u{7}\\u{9b}2J");
        assert_eq!(plain("a\u{202e}b\nc"), "a\\u{202e}b\\nc");
        for kept in ["क्‍ष", "می‌خواهم", "日本語", "👩‍👩‍👧", "ação"] {
            assert!(matches!(plain(kept), Cow::Borrowed(_)), "{kept}");
        }
    }
}
