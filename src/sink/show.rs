//! Rows for people: the native text and its English side by side.
//!
//! **Why**: a number does not say whether an instruction is worth anything; five rows, read, do. Text is wrapped by the
//! width it has on the screen, so Han stands in columns too. Where the script runs from right to left it stands in
//! the right column: terminals that reorder such text then leave the English alone.

use super::manifest::{Manifest, Part};
use super::snapshot::CURRENT;
use crate::error::{Error, Result};
use crate::model::Lang;
use crate::telemetry::plain;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Under this there is no room for two columns, and the English follows the native text.
const LEAST_TWO: usize = 60;

/// `rows` rows of each lang (or of `lang` alone), evenly spread over it, for a screen of `width` columns.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if nothing was published there or not in that lang;
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a part cannot be read.
pub fn show(output: &Path, lang: Option<&str>, rows: usize, width: usize) -> Result<String> {
    let manifest = Manifest::load(output)?.ok_or_else(|| {
        Error::config(format!("nothing published: path={}, remedy=isogloss run", output.display()))
    })?;
    let counts = manifest.rows_by_lang();
    let mut text = String::new();
    if let Some(wanted) = lang {
        if !counts.keys().any(|lang| lang.tag() == wanted) {
            let tags: Vec<&str> = counts.keys().map(|lang| lang.tag()).collect();
            return Err(Error::config(format!(
                "no rows of this lang: lang={}, range={tags:?}, remedy=one of these",
                plain(wanted)
            )));
        }
    } else if counts.is_empty() {
        text.push_str(
            "The output has no rows: see the final table of the run, or run with --set audit=all.\n",
        );
    }
    for (tag, count) in counts.iter().filter(|(tag, _)| lang.is_none_or(|lang| lang == tag.tag())) {
        let parts: Vec<&Part> =
            manifest.parts.iter().filter(|part| part.lang == *tag && part.rows > 0).collect();
        for at in spread(*count, rows as u64) {
            let row = read(output, &parts, at)?;
            let heading = format!("{tag}, row {} of {count}", at + 1);
            text.push_str(&drawn(&row, &heading, *tag, width.max(20)));
        }
    }
    Ok(text)
}

/// At most `wanted` of `count`, evenly spread.
fn spread(count: u64, wanted: u64) -> Vec<u64> {
    let wanted = wanted.min(count);
    (0..wanted).map(|i| (2 * i + 1) * count / (2 * wanted)).collect()
}

/// What is shown of a row.
#[derive(Debug, Clone, Default, PartialEq)]
struct Shown {
    instruction: String,
    response: String,
    instruction_en: String,
    response_en: String,
    place: String,
    score: f64,
    cell: i32,
}

/// The row at `at`, counted over all parts.
fn read(output: &Path, parts: &[&Part], mut at: u64) -> Result<Shown> {
    for part in parts {
        if at >= part.rows {
            at -= part.rows;
            continue;
        }
        let path = output.join(CURRENT).join(part.lang.tag()).join(&part.name);
        let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let path = path.display();
            Error::unavailable(format!("part unreadable: path={path}, remedy=isogloss verify")).because(cause)
        };
        let file = File::open(&path).map_err(|cause| unreadable(cause.into()))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| unreadable(cause.into()))?;
        let offset = usize::try_from(at).unwrap_or(usize::MAX);
        let reader =
            builder.with_offset(offset).with_limit(1).build().map_err(|cause| unreadable(cause.into()))?;
        for batch in reader {
            let batch = batch.map_err(|cause| unreadable(cause.into()))?;
            if batch.num_rows() == 1 {
                return shown(&batch).ok_or_else(|| unreadable("its columns are not ours".into()));
            }
        }
        return Err(unreadable("it has fewer rows than the manifest says".into()));
    }
    Err(Error::bug("no such row"))
}

fn shown(batch: &RecordBatch) -> Option<Shown> {
    let text = |name: &str| -> Option<String> {
        Some(batch.column_by_name(name)?.as_string_opt::<i32>()?.value(0).to_owned())
    };
    let row = batch.column_by_name("row")?.as_primitive_opt::<Int64Type>()?.value(0);
    let mut place = format!("{}, row {row}", plain(&text("shard")?));
    for name in ["url", "license"] {
        let value = text(name)?;
        if !value.is_empty() {
            let _ = write!(place, ", {}", plain(&value));
        }
    }
    Some(Shown {
        instruction: text("instruction")?,
        response: text("response")?,
        instruction_en: text("instruction_en")?,
        response_en: text("response_en")?,
        place,
        score: batch.column_by_name("score")?.as_primitive_opt::<Float64Type>()?.value(0),
        cell: batch.column_by_name("cell")?.as_primitive_opt::<Int32Type>()?.value(0),
    })
}

fn drawn(row: &Shown, heading: &str, lang: Lang, width: usize) -> String {
    let mut text = format!("── {heading} · score {:.3} · cell {} ", row.score, row.cell);
    text.push_str(&"─".repeat(width.saturating_sub(text.width())));
    text.push('\n');
    for line in wrap(&row.place, width) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push('\n');
    for (native, english) in [(&row.instruction, &row.instruction_en), (&row.response, &row.response_en)] {
        if width < LEAST_TWO {
            for part in [native, english] {
                text.extend(wrap(part, width).into_iter().map(|line| line + "\n"));
                text.push('\n');
            }
        } else if right_to_left(lang) {
            beside(&mut text, english, native, width);
        } else {
            beside(&mut text, native, english, width);
        }
    }
    text
}

/// Whether the script of a lang runs from right to left.
fn right_to_left(lang: Lang) -> bool {
    let script = lang.tag().split('_').nth(1).unwrap_or_default();
    matches!(script, "Arab" | "Hebr" | "Thaa" | "Syrc" | "Nkoo" | "Adlm" | "Rohg" | "Mand")
}

fn beside(text: &mut String, left: &str, right: &str, width: usize) {
    let column = (width - 3) / 2;
    let (left, right) = (wrap(left, column), wrap(right, column));
    for i in 0..left.len().max(right.len()) {
        let (left, right) = (left.get(i).map_or("", |l| l), right.get(i).map_or("", |r| r));
        text.push_str(left);
        text.push_str(&" ".repeat(column.saturating_sub(left.width())));
        text.push_str(" │ ");
        text.push_str(right);
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text.push('\n');
}

/// Lines of at most `width` columns, broken between words where there are words and between clusters where one does
/// not fit. Paragraphs keep their breaks; what could act on the terminal is escaped.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in plain(paragraph).split_word_bounds() {
            let wide = word.width();
            if used + wide > width && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
                if word.trim().is_empty() {
                    continue;
                }
            }
            if wide <= width {
                line.push_str(word);
                used += wide;
                continue;
            }
            for cluster in word.graphemes(true) {
                let wide = cluster.width();
                if used + wide > width && used > 0 {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push_str(cluster);
                used += wide;
            }
        }
        lines.push(line);
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_screen_in_every_script() {
        let samples = [
            "A maré sobe duas vezes por dia, e desce outras tantas vezes.",
            "潮汐每天涨落两次，这是由月球的引力引起的自然现象。",
            "น้ำขึ้นน้ำลงเกิดขึ้นวันละสองครั้งเพราะแรงดึงดูดของดวงจันทร์",
            "ज्वार-भाटा दिन में दो बार आता है और चंद्रमा के कारण होता है।",
            "https://example.org/a/very/long/address/that/has/no/space/at/all/in/it",
        ];
        for sample in samples {
            for width in [8, 20, 47] {
                let lines = wrap(sample, width);
                assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
                let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                assert_eq!(squeezed(&lines.concat()), squeezed(sample));
            }
        }
        assert_eq!(wrap("a b\n\nc", 10), ["a b", "", "c"]);
    }

    #[test]
    fn text_cannot_act_on_the_terminal() {
        let evil = "\u{1b}[2J\u{202e}x\u{7}";
        let row = Shown { response: evil.into(), place: plain(evil).into_owned(), ..Shown::default() };
        for width in [30, 80] {
            let text = drawn(&row, "h", Lang::UND, width);
            assert!(!text.chars().any(|c| c != '\n' && c.is_control()) && !text.contains('\u{202e}'));
        }
    }

    #[test]
    fn english_stays_on_the_left_of_arabic() {
        let row = Shown { response: "المد".into(), response_en: "tide".into(), ..Shown::default() };
        let arabic = drawn(&row, "h", Lang::from_tag("arb_Arab").expect("in the table"), 80);
        let line = arabic.lines().find(|line| line.contains("tide")).expect("a line");
        assert!(line.starts_with("tide") && line.ends_with("المد"), "{line}");
        let other = drawn(&row, "h", Lang::from_tag("por_Latn").expect("in the table"), 80);
        assert!(other.lines().any(|line| line.ends_with("tide")));
    }

    #[test]
    fn rows_are_spread_over_the_lang() {
        assert_eq!(spread(100, 5), [10, 30, 50, 70, 90]);
        assert_eq!(spread(2, 5), [0, 1]);
        assert!(spread(0, 5).is_empty());
    }
}
