//! A page: lines in the company of their neighbours.
//!
//! **Why**: the same short line is a heading above a paragraph and an entry in a menu. The passes go from local to
//! global: shape and phrases, repeated lines, wrapped lines, runs of short ones, and at last the edges of the page,
//! where titles, dates and comments gather.

use super::line::{Kind, Line, kind_of, lines_of};
use super::phrases::Phrases;
use crate::model::Lang;
use crate::stage::glyph::{self, Glyphs};
use xxhash_rust::xxh3::xxh3_64;

/// Tells the lines of a page that are text. Shared by all rows; holds no state between them.
#[derive(Clone)]
pub struct Cleaner {
    notices: Phrases,
    labels: Phrases,
    glyphs: Glyphs,
}

/// An edge of the page starts and ends with a line of at least so many characters (scaled in dense scripts).
const ANCHOR: usize = 140;
/// Phrases are looked for in lines of at most so many bytes.
const NOTICE_BYTES: usize = 400;
/// A repeated sentence shorter than this (characters) may be speech.
const SPEECH: usize = 20;

impl Default for Cleaner {
    fn default() -> Self {
        Self { notices: Phrases::notices(), labels: Phrases::labels(), glyphs: Glyphs::get() }
    }
}

impl Cleaner {
    /// The lines of a text. Junk is marked; blank lines are for the reader to thin out.
    pub fn lines(&self, text: &str, lang: Lang, dense: bool) -> Vec<Line> {
        let own = lang.sentence_end();
        let mut lines = lines_of(text);
        for line in &mut lines {
            let Some(content) = text.get(line.open..line.end).filter(|content| !content.is_empty()) else {
                continue;
            };
            (line.kind, line.ended) = kind_of(content, line.chars, own, dense, self.glyphs);
            let short = line.kind != Kind::Junk && content.len() <= NOTICE_BYTES;
            if short && (self.notices.found(content) || !line.ended && self.labels.found(content)) {
                line.kind = Kind::Junk;
            }
        }
        fences(text, &mut lines);
        repeated(text, &mut lines);
        wrapped(text, &mut lines);
        lists(text, &mut lines);
        runs(&mut lines);
        edges(&mut lines, if dense { ANCHOR * 2 / 5 } else { ANCHOR });
        lines
    }

    /// The table of characters.
    pub fn glyphs(&self) -> Glyphs {
        self.glyphs
    }
}

/// Code between fences is no prose.
fn fences(text: &str, lines: &mut [Line]) {
    let mut open = None;
    for i in 0..lines.len() {
        let fence =
            lines.get(i).and_then(|line| text.get(line.open..line.end)).is_some_and(|c| c.starts_with("```"));
        if fence {
            match open.take() {
                Some(from) => mark(lines, from, i),
                None => open = Some(i),
            }
        }
    }
}

fn mark(lines: &mut [Line], from: usize, to: usize) {
    for line in lines.get_mut(from..=to).unwrap_or_default() {
        if line.kind != Kind::Blank {
            line.kind = Kind::Junk;
        }
    }
}

/// Of equal lines the first stays; short speech may repeat.
fn repeated(text: &str, lines: &mut [Line]) {
    let mut seen: Vec<(u64, usize)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| {
            !matches!(line.kind, Kind::Blank | Kind::Junk) && (line.chars >= SPEECH || !line.ended)
        })
        .filter_map(|(i, line)| Some((xxh3_64(text.get(line.open..line.end)?.as_bytes()), i)))
        .collect();
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if let [(one, _), (other, again)] = pair
            && one == other
            && let Some(line) = lines.get_mut(*again)
        {
            line.kind = Kind::Junk;
        }
    }
}

/// A line without an end whose neighbour goes on in lower case was wrapped: both are one paragraph.
fn wrapped(text: &str, lines: &mut [Line]) {
    let lower = |line: &Line| {
        text.get(line.open..line.end)
            .and_then(|content| content.chars().next())
            .is_some_and(char::is_lowercase)
    };
    for i in 1..lines.len() {
        let (Some(before), Some(line)) = (lines.get(i - 1).copied(), lines.get(i).copied()) else { continue };
        let text_both = ![before.kind, line.kind].iter().any(|kind| matches!(kind, Kind::Blank | Kind::Junk));
        if text_both && !before.ended && lower(&line) {
            for line in lines.get_mut(i - 1..=i).unwrap_or_default() {
                line.kind = Kind::Prose;
            }
        }
    }
}

/// Entries of a list stay only if a line of text or one that ends in a colon leads to them.
fn lists(text: &str, lines: &mut [Line]) {
    let mut led = false;
    for line in lines.iter_mut() {
        match line.kind {
            Kind::Blank => {}
            Kind::Prose => led = true,
            Kind::Item if led => {}
            Kind::Item => line.kind = Kind::Junk,
            Kind::Short | Kind::Junk => {
                led = line.kind == Kind::Short
                    && text.get(line.open..line.end).is_some_and(|content| content.ends_with([':', '：']));
            }
        }
    }
}

/// Short lines stay as headings: one or two above text. Three in a row are a menu, except a last one that stands
/// apart directly above text.
fn runs(lines: &mut [Line]) {
    let mut run: Vec<usize> = Vec::new();
    let mut apart = false;
    for i in 0..=lines.len() {
        let kind = lines.get(i).map(|line| line.kind);
        match kind {
            Some(Kind::Blank) => continue,
            Some(Kind::Short) => {
                apart = run.last().is_some_and(|last| *last + 1 < i);
                run.push(i);
                continue;
            }
            _ => {}
        }
        let leads = matches!(kind, Some(Kind::Prose | Kind::Item));
        let menu = run.len() >= 3 || !leads;
        let spared = usize::from(leads && apart && run.len() >= 3);
        let dropped = if menu { run.len() - spared } else { 0 };
        for index in run.iter().take(dropped) {
            if let Some(line) = lines.get_mut(*index) {
                line.kind = Kind::Junk;
            }
        }
        run.clear();
        apart = false;
    }
}

/// Drops what stands before the first and after the last line that is surely text: titles, dates and authors above,
/// comments, offers and credits below. On a page of long paragraphs a long one is an anchor; on a page of short
/// sentences (stories, dialogues) a run of them that is long together.
fn edges(lines: &mut [Line], anchor: usize) {
    let all: usize = lines.iter().filter(|line| is_text(line)).map(|line| line.chars).sum();
    let long: usize =
        lines.iter().filter(|line| is_text(line) && line.chars >= anchor).map(|line| line.chars).sum();
    let (first, last) = if long * 2 >= all {
        let is_anchor = |line: &Line| is_text(line) && line.chars >= anchor;
        (lines.iter().position(is_anchor), lines.iter().rposition(is_anchor))
    } else {
        let mut bounds = (None, None);
        let mut run: Option<(usize, usize)> = None;
        for i in 0..=lines.len() {
            let line = lines.get(i);
            if line.is_some_and(|line| line.kind == Kind::Blank) {
                continue;
            }
            if let Some(line) = line.filter(|line| is_text(line)) {
                let (from, chars) = run.unwrap_or((i, 0));
                run = Some((from, chars + line.chars));
                if chars + line.chars >= anchor {
                    bounds = (bounds.0.or(Some(from)), Some(i));
                }
            } else {
                run = None;
            }
        }
        bounds
    };
    let kept = match (first, last) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    };
    for (i, line) in lines.iter_mut().enumerate() {
        if !kept.contains(&i) && line.kind != Kind::Blank {
            line.kind = Kind::Junk;
        }
    }
}

fn is_text(line: &Line) -> bool {
    line.kind == Kind::Prose
}

/// The classes that a text's letters mostly have: whether its script is dense whatever its lang is said to be.
pub(crate) fn is_dense(text: &str, lang: Lang, glyphs: Glyphs) -> bool {
    if lang != Lang::UND {
        return lang.dense();
    }
    let (mut letters, mut dense) = (0, 0);
    for c in text.chars().take(2000) {
        let class = glyphs.of(c);
        letters += u32::from(class & glyph::LETTER != 0);
        // Thai and its neighbours have no spaces, but as many characters as an alphabet.
        dense += u32::from(class & glyph::DENSE != 0 && !('\u{e00}'..='\u{17ff}').contains(&c));
        dense += u32::from(('\u{ac00}'..='\u{d7a3}').contains(&c));
    }
    dense * 2 > letters
}
