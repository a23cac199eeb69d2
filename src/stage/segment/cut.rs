//! From lines to fragments.
//!
//! **Why**: every place where a fragment may end is scored by how good an end it is, and the nearest good one to the
//! target length wins. Looking ahead is bounded by the greatest length, so time is linear in the text.

use super::SegmentSettings;
use super::sentence;
use crate::model::{Lang, Span};
use crate::stage::clean::{Cleaner, Kind, Line, is_dense};
use unicode_segmentation::GraphemeCursor;

/// Cuts documents. Shared by all rows; holds no state between them.
#[derive(Clone)]
pub struct Segmenter {
    settings: SegmentSettings,
    cleaner: Cleaner,
}

/// A place where a fragment may end, and the next one may start.
#[derive(Clone, Copy)]
struct Cut {
    /// One past the last byte before it.
    end: usize,
    /// The first byte after it.
    next: usize,
    /// Kept characters of the page before `end`.
    chars_end: usize,
    /// Kept characters of the page before `next`.
    chars_next: usize,
    /// How good a place it is: 0 above a heading, more inside a paragraph. In hundredths of the target length.
    cost: usize,
}

/// Kept bytes of the page, in order.
type Kept = Vec<(usize, usize)>;

const ABOVE_HEADING: usize = 0;
const AFTER_BLANK: usize = 35;
const AFTER_LINE: usize = 43;
const IN_LIST: usize = 75;
const IN_LINE: usize = 75;

/// The least, target and greatest length that hold for one document.
#[derive(Clone, Copy)]
struct Lengths {
    least: usize,
    target: usize,
    most: usize,
}

impl Segmenter {
    /// A segmenter of this shape. Ranges are the business of [`SegmentSettings::check`].
    pub fn new(settings: &SegmentSettings) -> Self {
        Self { settings: settings.clone(), cleaner: Cleaner::default() }
    }

    /// The fragments of a text in order, each as byte ranges; empty if there are none. `lang` is what the document is
    /// said to be. A text of 4 GiB or more has none.
    pub fn segment(&self, text: &str, lang: Lang) -> Vec<Vec<Span>> {
        self.segment_or_longest(text, lang).0
    }

    /// As [`segment`](Self::segment), and the length in characters of what was left of the text after cleaning.
    pub fn segment_or_longest(&self, text: &str, lang: Lang) -> (Vec<Vec<Span>>, usize) {
        if u32::try_from(text.len()).is_err() {
            return (Vec::new(), 0);
        }
        let dense = is_dense(text, lang, self.cleaner.glyphs());
        let lengths = self.lengths(dense);
        let mut lines = self.cleaner.lines(text, lang, dense);
        if self.settings.titles {
            keep_title(&mut lines);
        }
        let (kept, cuts) = self.cuts(text, lang, &lines, lengths);
        let total = cuts.last().map_or(0, |cut| cut.chars_end);
        (fragments(&cuts, lengths).into_iter().map(|(from, to)| spans(&kept, from, to)).collect(), total)
    }

    fn lengths(&self, dense: bool) -> Lengths {
        let SegmentSettings { least_chars, target_chars, most_chars, dense_scale, .. } = self.settings;
        let scale = |chars: usize| if dense { scaled(chars, dense_scale) } else { chars };
        Lengths { least: scale(least_chars), target: scale(target_chars), most: scale(most_chars) }
    }

    /// The kept bytes and every place to cut. The first cut is the start of the page.
    fn cuts(&self, text: &str, lang: Lang, lines: &[Line], lengths: Lengths) -> (Kept, Vec<Cut>) {
        let own = lang.sentence_end();
        let mut kept: Kept = Vec::new();
        let mut cuts: Vec<Cut> = Vec::new();
        let mut chars = 0;
        let mut blank: Option<&Line> = None;
        let mut lines = lines.iter().filter(|line| line.kind != Kind::Junk).peekable();
        while let Some(line) = lines.next() {
            if line.kind == Kind::Blank {
                if !kept.is_empty() && blank.is_none() {
                    blank = Some(line);
                }
                continue;
            }
            if let Some(blank) = blank.take() {
                chars += push(&mut kept, text, blank.start, blank.next);
            }
            // White space in front of the first line is no part of it; that of later lines is.
            let from = if kept.is_empty() { line.open } else { line.start };
            let lead = chars_of(text, from, line.open);
            if cuts.is_empty() {
                cuts.push(Cut { end: line.open, next: line.open, chars_end: 0, chars_next: lead, cost: 0 });
            } else if let Some(cut) = cuts.last_mut().filter(|cut| cut.next == usize::MAX) {
                (cut.next, cut.chars_next) = (line.open, chars + lead);
            }
            let at = chars + lead;
            if !line.ended || line.chars > lengths.target {
                self.inner(text, own, line, at, &mut cuts);
            }
            chars += push(&mut kept, text, from, line.next);
            let after = lines.peek().map(|line| line.kind);
            let closes = line.ended || (line.kind == Kind::Item && after != Some(Kind::Item));
            if closes {
                let cost = match after {
                    Some(Kind::Item) => IN_LIST,
                    Some(Kind::Short) => ABOVE_HEADING,
                    Some(Kind::Blank) => after_blank(&lines),
                    _ => AFTER_LINE,
                };
                cuts.push(Cut {
                    end: line.end,
                    next: usize::MAX,
                    chars_end: at + line.chars,
                    chars_next: 0,
                    cost,
                });
            }
        }
        if let Some(cut) = cuts.last_mut().filter(|cut| cut.next == usize::MAX) {
            (cut.next, cut.chars_next) = (cut.end, cut.chars_end);
        }
        // White space may carry a combining mark: such a place cuts a grapheme.
        cuts.retain(|cut| is_boundary(text, cut.end) && is_boundary(text, cut.next));
        (kept, cuts)
    }

    /// Places inside a line: after its sentences.
    fn inner(&self, text: &str, own: &str, line: &Line, at: usize, cuts: &mut Vec<Cut>) {
        let Some(content) = text.get(line.open..line.end) else { return };
        let (mut seen, mut chars) = (0, at);
        sentence::cuts(content, own, self.cleaner.glyphs(), |end, next| {
            let chars_end = chars + chars_of(content, seen, end);
            let chars_next = chars_end + chars_of(content, end, next);
            let (end, next_byte) = (line.open + end, line.open + next);
            cuts.push(Cut { end, next: next_byte, chars_end, chars_next, cost: IN_LINE });
            (seen, chars) = (next, chars_next);
        });
    }
}

/// The cost of a cut before a blank line: what follows it tells.
fn after_blank<'a>(lines: &(impl Iterator<Item = &'a Line> + Clone)) -> usize {
    match lines.clone().find(|line| line.kind != Kind::Blank).map(|line| line.kind) {
        Some(Kind::Short) => ABOVE_HEADING,
        Some(Kind::Item) => IN_LIST,
        _ => AFTER_BLANK,
    }
}

/// Takes the line above the first kept one back in, if it has letters and no other line stands between.
fn keep_title(lines: &mut [Line]) {
    let Some(first) = lines.iter().position(|line| matches!(line.kind, Kind::Short | Kind::Prose)) else {
        return;
    };
    let above =
        lines.get_mut(..first).unwrap_or_default().iter_mut().rev().find(|line| line.kind != Kind::Blank);
    if let Some(line) = above.filter(|line| !line.ended && (4..=100).contains(&line.chars)) {
        line.kind = Kind::Short;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length times at most 1")]
fn scaled(chars: usize, scale: f64) -> usize {
    ((chars as f64 * scale) as usize).max(1)
}

/// Whether a grapheme ends at a byte.
fn is_boundary(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let plain = |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii() && *byte != b'\n');
    plain(at.checked_sub(1).and_then(|before| bytes.get(before))) && plain(bytes.get(at))
        || GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(false)
}

fn chars_of(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).map_or(0, |part| part.chars().count())
}

/// Keeps `from..to`; gives its length in characters.
fn push(kept: &mut Kept, text: &str, from: usize, to: usize) -> usize {
    match kept.last_mut() {
        Some(last) if last.1 == from => last.1 = to,
        _ => kept.push((from, to)),
    }
    chars_of(text, from, to)
}

/// Picks cuts: pairs of first byte and end.
fn fragments(cuts: &[Cut], lengths: Lengths) -> Vec<(usize, usize)> {
    let mut fragments = Vec::new();
    let mut at = 0;
    while let Some(from) = cuts.get(at) {
        let reach = from.chars_next + lengths.most;
        let ahead = cuts.get(at + 1..).unwrap_or_default();
        let near = ahead.iter().take_while(|cut| cut.chars_end <= reach).count();
        let candidates = ahead.get(..near).unwrap_or_default();
        let rest = cuts.last().map_or(0, |last| last.chars_end);
        let best = candidates
            .iter()
            .enumerate()
            .filter(|(_, cut)| cut.chars_end >= from.chars_next + lengths.least)
            .min_by_key(|(_, cut)| {
                let length = cut.chars_end - from.chars_next;
                // A rest too short to stand alone is better taken along.
                let orphan =
                    usize::from(rest > cut.chars_end && rest - cut.chars_end.min(rest) < lengths.least) * 40;
                length.abs_diff(lengths.target) + (cut.cost + orphan) * lengths.target / 100
            })
            .map(|(index, _)| index);
        match best {
            Some(index) => {
                if let Some(cut) = candidates.get(index) {
                    fragments.push((from.next, cut.end));
                }
                at += index + 1;
            }
            // Nothing fits from here: a sentence longer than the greatest length, or the end of the page.
            None => at += 1,
        }
    }
    fragments
}

/// The kept bytes from `from` to `to`.
fn spans(kept: &[(usize, usize)], from: usize, to: usize) -> Vec<Span> {
    let first = kept.partition_point(|(_, end)| *end <= from);
    kept.get(first..)
        .unwrap_or_default()
        .iter()
        .take_while(|(start, _)| *start < to)
        .filter_map(|(start, end)| {
            let (start, end) = ((*start).max(from), (*end).min(to));
            let span = Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? };
            (start < end).then_some(span)
        })
        .collect()
}
