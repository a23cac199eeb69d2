//! Where sentences end.
//!
//! **Why**: a fragment that stops in mid-sentence is worthless, so text is cut at certain ends only. The rules are
//! those of UAX #29 that concern ends (no cut before a lower-case letter, none inside a number, closing quotes and
//! brackets belong to the sentence), with the marks of every script, and two guards that UAX #29 has not: none
//! after an abbreviation, none before a combining mark. Thai and Lao have no marks: there a space is an end.

use crate::stage::glyph::{self, Glyphs};

/// Marks that end a sentence in any language; a language adds its own (Greek `;`).
pub(crate) fn ends(c: char, own: &str) -> bool {
    // A search for a substring costs more than a look at these few.
    let is_own = || own.chars().any(|mark| mark == c);
    match c {
        '.' | '!' | '?' => true,
        _ if c.is_ascii() => is_own(),
        '…' | '‼' | '⁇' | '⁈' | '⁉' => true,
        _ => full_stop(c) || is_own(),
    }
}

/// Marks that end a sentence whether or not white space follows.
fn full_stop(c: char) -> bool {
    matches!(
        c,
        '。' | '！'
            | '？'
            | '．'
            | '｡'
            | '।'
            | '॥'
            | '؟'
            | '۔'
            | '።'
            | '፧'
            | '፨'
            | '։'
            | '។'
            | '៕'
            | '။'
            | '།'
            | '༎'
    )
}

/// Quotes and brackets that close what the sentence opened.
fn closes(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '»'
            | '«'
            | '”'
            | '’'
            | '“'
            | '‘'
            | '›'
            | '」'
            | '』'
            | '】'
            | '）'
            | '〉'
            | '》'
            | '］'
            | '＂'
            | '*'
            | '_'
            | '`'
    )
}

/// Thai and Lao write no full stops.
fn unmarked(c: char) -> bool {
    ('\u{e00}'..='\u{eff}').contains(&c)
}

/// Whether a line ends a sentence. `line` has no white space at its end. A reference such as `[12]` may follow.
pub(crate) fn is_ended(line: &str, own: &str) -> bool {
    let mut rest = without_reference(line);
    let mut quoted = false;
    for _ in 0..6 {
        let Some(last) = rest.chars().next_back() else { return false };
        if ends(last, own) || unmarked(last) {
            return true;
        }
        // Speech in corner brackets needs no mark of its own.
        quoted = quoted || matches!(last, '」' | '』');
        if !closes(last) && !last.is_whitespace() {
            return quoted;
        }
        rest = rest.strip_suffix(last).unwrap_or_default();
    }
    quoted
}

/// Drops references in brackets from the end: `[12]`, `[nota 3]`.
fn without_reference(line: &str) -> &str {
    let mut rest = line;
    while let Some(open) = rest.strip_suffix(']').and_then(|inner| inner.rfind('[')) {
        let inner = rest.get(open + 1..rest.len() - 1).unwrap_or_default();
        let digits = inner.chars().any(|c| c.is_ascii_digit()) || inner.chars().count() == 1;
        if open == 0 || inner.len() > 24 || !digits {
            break;
        }
        rest = rest.get(..open).unwrap_or_default().trim_end();
    }
    rest
}

/// Calls `cut(end, next)` for every place inside `line` where a sentence ends at byte `end` and the following one
/// starts at byte `next`. Ends lie on grapheme boundaries. The end of the line itself is no cut.
pub(crate) fn cuts(line: &str, own: &str, glyphs: Glyphs, mut cut: impl FnMut(usize, usize)) {
    let mut chars = line.char_indices().peekable();
    let mut word = Word::default();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        let class = glyphs.of(c);
        // No mark is made of what words are made of.
        if class & glyph::WORD != 0 {
            word.push(c, class);
            before = c;
            continue;
        }
        if unmarked(before) && (c == ' ' || c == '\u{a0}') {
            let mut next = at + c.len_utf8();
            while let Some((_, space)) = chars.next_if(|(_, c)| c.is_whitespace()) {
                next += space.len_utf8();
            }
            if chars.peek().is_some_and(|(_, c)| unmarked(*c)) {
                cut(at, next);
            }
            before = ' ';
            word = Word::default();
            continue;
        }
        before = c;
        if !ends(c, own) {
            word = Word::default();
            continue;
        }
        let abbreviation = c == '.' && word.abbreviates();
        word = Word::default();
        let mut end = at + c.len_utf8();
        let mut strong = full_stop(c);
        let mut marks = 1;
        while let Some((_, more)) = chars.next_if(|(_, c)| ends(*c, own) || closes(*c)) {
            end += more.len_utf8();
            strong = strong || full_stop(more);
            marks += 1;
        }
        let mut next = end;
        while let Some((_, space)) = chars.next_if(|(_, c)| c.is_whitespace()) {
            next += space.len_utf8();
        }
        let Some((_, follower)) = chars.peek().copied() else { return };
        let class = glyphs.of(follower);
        let spaced = next > end;
        let lower = class & glyph::LETTER != 0 && class & glyph::UPPER == 0 && follower.is_lowercase();
        let starts = class & (glyph::MARK | glyph::BROKEN) == 0
            && !lower
            && !matches!(follower, ',' | ';' | ':' | '、' | '，');
        if starts && (spaced || strong) && !(abbreviation && marks == 1) {
            cut(end, next);
        }
        before = if spaced { ' ' } else { c };
    }
}

/// Abbreviations of three letters or more before names, in lower case.
const TITLES: &[&str] = &[
    "sra", "srs", "dra", "drs", "mrs", "prof", "profa", "exmo", "eng", "gen", "cel", "col", "cap", "rev",
    "fig", "sta", "sto", "ave", "ing", "mme", "mlle",
];

/// The word before a full stop, as far as it tells whether it is an abbreviation.
#[derive(Default)]
struct Word {
    chars: u32,
    upper: bool,
    digits: bool,
    hash: u64,
}

impl Word {
    /// Adds a character of a word.
    fn push(&mut self, c: char, class: u8) {
        if self.chars == 0 {
            self.hash = 0;
            self.upper = class & glyph::UPPER != 0;
            self.digits = true;
        }
        self.chars += u32::from(class & glyph::MARK == 0);
        self.digits = self.digits && c.is_ascii_digit();
        self.hash = self.hash << 8 | u64::from(u32::from(c.to_ascii_lowercase()) & 0xff);
    }

    /// `J.`, `Dr.`, `Sra.`, and the `3.` of a list or of an ordinal. A capital alone does not tell: `Sol.` ends a sentence.
    fn abbreviates(&self) -> bool {
        let titled = || {
            TITLES.iter().any(|title| title.bytes().fold(0, |hash, b| hash << 8 | u64::from(b)) == self.hash)
        };
        self.chars == 1 || (self.digits && self.chars == 2) || (self.upper && (self.chars == 2 || titled()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_segmentation::UnicodeSegmentation;

    fn pieces<'a>(text: &'a str, own: &str) -> Vec<&'a str> {
        let mut from = 0;
        let mut pieces = Vec::new();
        cuts(text, own, Glyphs::get(), |end, next| {
            pieces.push(text.get(from..end).expect("on boundaries"));
            from = next;
        });
        pieces.push(text.get(from..).expect("on boundaries"));
        pieces
    }

    #[test]
    fn sentences_of_many_scripts() {
        assert_eq!(pieces("A maré sobe. Desce depois! Por quê? Não sei.", ".!?…").len(), 4);
        assert_eq!(pieces("O Sr. Silva e o J. R. Costa vieram. Foi em 3. de maio.", ".").len(), 2);
        assert_eq!(pieces("Custa 3.50 euros. Ver www.a.b. não corta aqui.", ".").len(), 2);
        assert_eq!(pieces("他来了。我走了！「好。」他说。", "。！？").len(), 4);
        assert_eq!(pieces("潮は月の引力で動く。太陽も引く。", "。").len(), 2);
        assert_eq!(pieces("ज्वार आता है। फिर जाता है।", "।").len(), 2);
        assert_eq!(pieces("ሰላም ነው። ደህና ነኝ።", "።").len(), 2);
        assert_eq!(pieces("هل جاء؟ نعم. ذهب۔", ".؟!").len(), 3);
        assert_eq!(pieces("Πού πήγες; Στο σπίτι.", ".!;").len(), 2);
        assert_eq!(pieces("น้ำขึ้นน้ำลง เกิดจากดวงจันทร์ และดวงอาทิตย์", ".!?").len(), 3);
        assert_eq!(pieces("Disse: “Vou já.” E foi. (Não voltou.) Fim.", ".").len(), 4);
    }

    #[test]
    fn no_mark_is_part_of_a_word() {
        let own = include_str!("../../../data/langs.tsv")
            .lines()
            .skip(1)
            .filter_map(|line| line.rsplit('\t').next());
        let own: String = own.collect();
        assert!(own.contains('።'));
        for c in '\0'..=char::MAX {
            assert!(!ends(c, &own) || Glyphs::get().of(c) & glyph::WORD == 0, "{c:?}");
        }
    }

    #[test]
    fn ends_of_lines() {
        for line in [
            "Fim.",
            "Fim.”",
            "Fim.[12]",
            "Fim. [nota 3][4]",
            "完。」",
            "「さよか、すんません」",
            "จบ",
            "Fim!)*",
        ] {
            assert!(is_ended(line, ".!?。"), "{line}");
        }
        for line in ["Fim", "Fim,", "[1]", "", "Leia [aqui]", "\"", "終わり"] {
            assert!(!is_ended(line, ".!?。"), "{line}");
        }
    }

    #[test]
    fn every_cut_of_plain_prose_is_one_of_uax_29() {
        let text = "Marés são lentas. A Lua puxa o mar! E o Sol? Também puxa. \"Sim.\" Disse ela. Em 1679, nada. \
                    Приливы медленны. Луна тянет море. 潮は月の引力で動く。太陽も引く。ज्वार आता है। फिर जाता है।";
        let bounds: Vec<usize> = text.split_sentence_bound_indices().map(|(at, _)| at).collect();
        let mut count = 0;
        cuts(text, ".!?。।", Glyphs::get(), |_, next| {
            count += 1;
            assert!(bounds.contains(&next), "{}", text.get(next..).expect("boundary"));
        });
        assert!(count >= 11, "{count}");
    }
}
