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
    fn controls_are_told_and_letters_stay() {
        assert_eq!(plain("\u{1b}]0;x\u{7}\u{9b}2J"), "\\u{1b}]0;x\\u{7}\\u{9b}2J");
        assert_eq!(plain("a\u{202e}b\nc"), "a\\u{202e}b\\nc");
        for kept in ["क्‍ष", "می‌خواهم", "日本語", "👩‍👩‍👧", "ação"] {
            assert!(matches!(plain(kept), Cow::Borrowed(_)), "{kept}");
        }
    }
}
