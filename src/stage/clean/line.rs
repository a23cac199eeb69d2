//! One line: where it stands, and what its shape says of it.

use crate::stage::glyph::{self, Glyphs};
use crate::stage::segment::sentence;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but white space.
    Blank,
    /// Left out.
    Junk,
    /// Short and without a sentence end: a heading, or one entry of a menu.
    Short,
    /// An entry of a list that does not end a sentence.
    Item,
    /// Text.
    Prose,
}

/// A line of a text. Bytes are offsets in the text.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// First byte.
    pub start: usize,
    /// First byte that is not white space; `end` in a blank line.
    pub open: usize,
    /// One past the last byte that is not white space.
    pub end: usize,
    /// One past its line end.
    pub next: usize,
    /// Characters from `open` to `end`.
    pub chars: usize,
    /// What it is.
    pub kind: Kind,
    /// It ends a sentence.
    pub ended: bool,
}

/// Lines longer than this (characters, scaled in dense scripts) are never judged by shape, menus excepted.
const LONG: usize = 240;
/// A heading is no longer.
const HEADING: usize = 100;

/// Cuts the text into lines at `\n`.
pub(super) fn lines_of(text: &str) -> Vec<Line> {
    let mut lines = Vec::with_capacity(16);
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
    for next in ends.chain([text.len()]) {
        let Some(raw) = text.get(start..next).filter(|raw| !raw.is_empty()) else { continue };
        let open = start + (raw.len() - raw.trim_start().len());
        let end = start + raw.trim_end().len();
        let (open, end) = if open > end { (next, next) } else { (open, end) };
        let chars = text.get(open..end).map_or(0, |content| content.chars().count());
        lines.push(Line { start, open, end, next, chars, kind: Kind::Blank, ended: false });
        start = next;
    }
    lines
}

/// What the shape of a line says. `content` has no white space at its ends; `dense`: few characters say much.
pub(super) fn kind_of(content: &str, chars: usize, own: &str, dense: bool, glyphs: Glyphs) -> (Kind, bool) {
    let scaled = if dense { chars * 5 / 2 } else { chars };
    let ended = sentence::is_ended(content, own);
    if scaled > LONG {
        let menu = scaled <= LONG * 12 && !ended && is_menu(content, scaled, ended);
        return (if menu { Kind::Junk } else { Kind::Prose }, ended);
    }
    let junk = is_menu(content, scaled, ended)
        || content.contains('©')
        || without_letters(content, ended, glyphs)
        || is_address(content);
    if junk {
        return (Kind::Junk, ended);
    }
    let kind = match (ended, is_item(content)) {
        (false, true) => Kind::Item,
        (false, false) if scaled <= HEADING => Kind::Short,
        _ => Kind::Prose,
    };
    (kind, ended)
}

/// The bytes that begin what parts the entries of menus: ASCII, Latin signs, dashes and arrows, full-width forms.
const PARTS: [[u8; 3]; 3] = [[b'|', b'\t', b'/'], [b'>', b'<', b'-'], [0xc2, 0xe2, 0xef]];

/// Menus and breadcrumbs: short entries between separators.
fn is_menu(content: &str, scaled: usize, ended: bool) -> bool {
    let (mut strong, mut weak, mut slash) = (0, 0, 0);
    // They are counted, so their order is nothing.
    let places = PARTS.iter().flat_map(|[a, b, c]| memchr::memchr3_iter(*a, *b, *c, content.as_bytes()));
    for at in places {
        let Some((left, right)) = content.split_at_checked(at) else { continue };
        let mut right = right.chars();
        let Some(c) = right.next() else { continue };
        let Some(before) = left.chars().next_back() else {
            strong += usize::from(c == '|');
            continue;
        };
        let after = right.next().unwrap_or(' ');
        let alone = before.is_whitespace() && after.is_whitespace();
        match c {
            '|' | '\t' | '｜' | '＞' => strong += 1,
            '»' | '›' | '·' | '•' | '→' if alone => strong += 1,
            '>' if alone || (before == '>' && after == ' ') => strong += 1,
            '<' if before == '<' && after == ' ' => strong += 1,
            '/' if alone => slash += 1,
            '-' | '–' | '—' if alone => weak += 1,
            _ => {}
        }
    }
    let weak_all = weak + slash;
    let entry = scaled / (strong + weak_all + 1);
    (strong >= 2 && entry <= 40)
        || (!ended
            && ((strong == 1 && scaled <= 80)
                || (weak_all >= 2 && entry <= 25)
                || (slash == 1 && scaled <= 40)))
}

/// Rulers, page numbers, dates, prices, telephone numbers.
fn without_letters(content: &str, ended: bool, glyphs: Glyphs) -> bool {
    if ended {
        return !content.chars().any(|c| glyphs.of(c) & glyph::LETTER != 0);
    }
    let (mut letters, mut digits) = (0, 0);
    for c in content.chars() {
        let class = glyphs.of(c);
        letters += u32::from(class & glyph::LETTER != 0);
        digits += u32::from(class & glyph::DIGIT != 0);
    }
    letters == 0 || digits * 3 >= letters * 2
}

/// Mostly links and mail.
fn is_address(content: &str) -> bool {
    if !has_address(content) {
        return false;
    }
    let address: usize = content.split_whitespace().filter(|word| has_address(word)).map(str::len).sum();
    address * 2 >= content.len()
}

/// Whether `://`, `www.` or `@` stands in it: found by the rarest byte of each.
fn has_address(content: &str) -> bool {
    let bytes = content.as_bytes();
    let around = |at: usize| bytes.split_at_checked(at).unwrap_or_default();
    memchr::memchr(b'@', bytes).is_some()
        || memchr::memchr_iter(b':', bytes).any(|at| around(at).1.starts_with(b"://"))
        || memchr::memchr_iter(b'.', bytes).any(|at| around(at).0.ends_with(b"www"))
}

/// `- entry`, `• entry`, `1. entry`, `(a) entry`, `① entry`.
fn is_item(content: &str) -> bool {
    let mut chars = content.chars();
    match chars.next() {
        Some('•' | '‣' | '◦' | '▪' | '●' | '○' | '■' | '▶' | '✓' | '➢' | '・' | '①'..='⑳') => {
            true
        }
        Some('-' | '*' | '+' | '–' | '—' | '·') => chars.next().is_some_and(char::is_whitespace),
        Some('(' | '（') => marker(content.get(1..).unwrap_or(chars.as_str())),
        Some(c) if c.is_alphanumeric() => marker(content),
        _ => false,
    }
}

/// Up to three letters or digits, then `.`, `)` or the like.
fn marker(content: &str) -> bool {
    let mut chars = content.chars();
    // Hardly any line has such a mark so early, and classes cost a search.
    let Some(count) = chars.by_ref().take(4).position(|c| matches!(c, '.' | ')' | '）' | '、' | '．'))
    else {
        return false;
    };
    count > 0 && chars.next().is_some() && content.chars().take(count).all(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One character after the other.
    fn plain_marker(content: &str) -> bool {
        let mut chars = content.chars();
        for count in 0..4 {
            match chars.next() {
                Some(c) if c.is_alphanumeric() => {}
                Some('.' | ')' | '）' | '、' | '．') => return count > 0 && chars.next().is_some(),
                _ => return false,
            }
        }
        false
    }

    proptest! {
        #[test]
        fn addresses_and_markers_are_told_as_by_plain_looks(text in "[:/w.@a1)é、 ]{0,9}") {
            prop_assert_eq!(has_address(&text), ["://", "www.", "@"].iter().any(|part| text.contains(part)));
            prop_assert_eq!(marker(&text), plain_marker(&text));
        }
    }

    fn kind(content: &str) -> Kind {
        kind_of(content, content.chars().count(), ".!?…。", false, Glyphs::get()).0
    }

    #[test]
    fn menus_and_rulers_are_told_by_shape() {
        for line in [
            "Início | Física | Química | Contato",
            "Home > Receitas > Pão",
            "Home >> Brasil >> Império",
            "Página inicial » Mamíferos » Lobo-guará",
            "Início / O montado / Sobreiro",
            "Cidades / Arquitetura",
            "Pintura - Escultura - Cerâmica - Têxteis",
            "Agenda · Bairros · Memória · Mapa",
            "<< aula anterior | próxima aula >>",
            "© A Mesa Portuguesa",
            "29/02/2024 22h05",
            "-----",
            "Telefone: (31) 0000-0000",
            "https://exemplo.example/a/b Fonte",
            "| a | b |",
            "首页 | 新闻 | 联系我们",
        ] {
            assert_eq!(kind(line), Kind::Junk, "{line}");
        }
    }

    #[test]
    fn prose_headings_and_items_stay() {
        assert_eq!(kind("— Sim — disse ela — não vou."), Kind::Prose);
        assert_eq!(kind("Em 1755, Lisboa tremeu."), Kind::Prose);
        assert_eq!(kind("Como escolher o polvilho"), Kind::Short);
        assert_eq!(kind("- 500 gramas de polvilho azedo"), Kind::Item);
        assert_eq!(kind("1. Lave o arroz em água fria"), Kind::Item);
        assert_eq!(kind("(a) entrada"), Kind::Item);
        assert_eq!(kind("No. é uma palavra"), Kind::Item);
        assert_eq!(kind("A relação entre x e y é > 3 em média."), Kind::Prose);
    }

    #[test]
    fn lines_tile_the_text() {
        for text in ["", "\n", "a", "a\r\nb", "  a \n\n\tb\n", "\u{3000}x\u{3000}\n"] {
            let lines = lines_of(text);
            let mut at = 0;
            for line in &lines {
                assert_eq!(line.start, at);
                assert!(line.start <= line.open && line.open <= line.end && line.end <= line.next);
                at = line.next;
            }
            assert_eq!(at, text.len());
        }
    }
}
