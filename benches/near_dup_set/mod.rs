//! A set of documents with planted duplicates: invented words in seven scripts, two of them without spaces.
//!
//! **Why**: recall can only be counted where the truth is known, and real text has duplicates that nobody planted. Words are
//! drawn by Zipf's law from a vocabulary of invented ones, one per script, so that documents share words as real ones
//! do. Copies are exact, exact but for case and white space, or edited until a goal is reached; the Jaccard of an edited
//! pair is then measured, on sets of windows of five words (five characters where there are no spaces), and written
//! down. Every document is a function of the seed and its number, so copies may stand before their originals and nothing
//! is held in memory but the vocabularies and one batch.

mod draw;
mod script;

pub(crate) use draw::Draw;
pub(crate) use script::Script;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Changes whenever the same arguments give another set.
const VERSION: u32 = 3;
/// Windows that Jaccard is measured on.
const WINDOW: usize = 5;
/// Documents that are written at a time, and per row group.
const BATCH: usize = 500;
const ROWS_PER_GROUP: usize = 2_000;
/// Files of the set in parts.
const PARTS: usize = 16;
/// Bytes of text of a document, on average.
const BYTES: u64 = 4_100;

/// Where a set lies.
pub(crate) struct Set {
    /// The set as one file.
    pub(crate) one: PathBuf,
    /// The same documents in the same order, in several files.
    pub(crate) many: PathBuf,
    /// A line per planted pair: id of the copy, of the original, kind, Jaccard, script; as `isogloss bench --truth` takes it.
    pub(crate) truth: PathBuf,
    /// Bytes of text.
    pub(crate) bytes: u64,
}

/// How a document came to be.
enum Role {
    Original,
    /// Byte for byte.
    Exact(u64),
    /// Equal but for case and white space.
    Form(u64),
    /// Edited until the Jaccard has fallen to a goal.
    Near(u64, f64),
}

/// Makes the set in `folder` unless it is there.
pub(crate) fn set(folder: &Path, documents: u64, seed: u64) -> Set {
    let folder = folder.join(format!("near-dup-{documents}-{seed}-v{VERSION}"));
    let set = |bytes| Set {
        one: folder.join("one"),
        many: folder.join("many"),
        truth: folder.join("truth.tsv"),
        bytes,
    };
    let done = folder.join("bytes");
    if let Ok(text) = fs::read_to_string(&done) {
        return set(text.trim().parse().expect("a number"));
    }
    let bytes = generate(&folder, documents, seed);
    // Last: a set without this file is made again.
    fs::write(&done, bytes.to_string()).expect("written");
    set(bytes)
}

fn generate(folder: &Path, documents: u64, seed: u64) -> u64 {
    for part in ["one", "many"] {
        let _ = fs::remove_dir_all(folder.join(part));
        fs::create_dir_all(folder.join(part)).expect("made");
    }
    let maker = Maker { scripts: Script::all(seed), documents, seed };
    let mut truth = BufWriter::new(File::create(folder.join("truth.tsv")).expect("made"));
    let mut one = writer(&folder.join("one").join("all.parquet"));
    let mut bytes = 0;
    let per_part = documents.div_ceil(PARTS as u64);
    for part in 0..PARTS as u64 {
        let mut many = writer(&folder.join("many").join(format!("{part:02}.parquet")));
        let (from, to) = (part * per_part, ((part + 1) * per_part).min(documents));
        let mut rows = Vec::new();
        for number in from..to {
            let (text, script, planted) = maker.document(number);
            if let Some((original, kind, jaccard)) = planted {
                let (copy, original) = (id_of(number), id_of(original));
                writeln!(truth, "{copy}\t{original}\t{kind}\t{jaccard:.6}\t{}", script.name)
                    .expect("written");
            }
            bytes += text.len() as u64;
            rows.push((number, script, text));
            if rows.len() == BATCH || number + 1 == to {
                let batch = batch_of(&rows);
                one.write(&batch).expect("written");
                many.write(&batch).expect("written");
                rows.clear();
            }
        }
        many.close().expect("written");
    }
    one.close().expect("written");
    truth.flush().expect("written");
    bytes
}

fn writer(path: &Path) -> ArrowWriter<File> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level")))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .build();
    ArrowWriter::try_new(File::create(path).expect("made"), batch_of(&[]).schema(), Some(properties))
        .expect("started")
}

fn batch_of(rows: &[(u64, &Script, String)]) -> RecordBatch {
    let column = |cell: &dyn Fn(&(u64, &Script, String)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(cell)))
    };
    RecordBatch::try_from_iter([
        ("text", column(&|(_, _, text)| text.clone())),
        ("id", column(&|(number, _, _)| id_of(*number))),
        ("url", column(&|(number, script, _)| format!("https://{}.example/{number}", script.name))),
        ("language", column(&|(_, script, _)| script.language.to_owned())),
        ("language_script", column(&|(_, script, _)| script.name.to_owned())),
    ])
    .expect("columns of one length")
}

/// The id of a document.
pub(crate) fn id_of(number: u64) -> String {
    format!("<urn:document:{number:08}>")
}

struct Maker {
    scripts: Vec<Script>,
    documents: u64,
    seed: u64,
}

/// The original, the kind and the measured Jaccard.
type Planted = Option<(u64, &'static str, f64)>;

impl Maker {
    fn document(&self, number: u64) -> (String, &Script, Planted) {
        match self.role(number) {
            Role::Original => {
                let script = self.script(number);
                (script.render(&self.words(number), &mut self.draw(number, 2)), script, None)
            }
            Role::Exact(original) => {
                (self.document(original).0, self.script(original), Some((original, "exact", 1.0)))
            }
            Role::Form(original) => {
                let text = other_form(&self.document(original).0, &mut self.draw(number, 3));
                (text, self.script(original), Some((original, "form", 1.0)))
            }
            Role::Near(original, goal) => {
                let script = self.script(original);
                let (words, jaccard) = edited(script, &self.words(original), goal, &mut self.draw(number, 4));
                let text = script.render(&words, &mut self.draw(number, 2));
                (text, script, Some((original, "near", jaccard)))
            }
        }
    }

    fn draw(&self, number: u64, of: u64) -> Draw {
        Draw::new(self.seed, number.wrapping_mul(8).wrapping_add(of))
    }

    fn role(&self, number: u64) -> Role {
        let mut draw = self.draw(number, 0);
        let role = draw.below(100);
        let original = |draw: &mut Draw| {
            loop {
                let other = draw.below(self.documents);
                if other != number && self.draw(other, 0).below(100) >= 30 {
                    return other;
                }
            }
        };
        match role {
            0..8 => Role::Exact(original(&mut draw)),
            8..12 => Role::Form(original(&mut draw)),
            12..30 => {
                let (low, high) = match draw.below(100) {
                    0..20 => (0.95, 0.998),
                    20..40 => (0.90, 0.95),
                    40..60 => (0.85, 0.90),
                    60..80 => (0.80, 0.85),
                    80..86 => (0.70, 0.80),
                    86..93 => (0.50, 0.65),
                    _ => (0.30, 0.50),
                };
                let goal = low + (high - low) * draw.unit();
                Role::Near(original(&mut draw), goal)
            }
            _ => Role::Original,
        }
    }

    fn script(&self, number: u64) -> &Script {
        let mut at = self.draw(number, 5).below(1_000);
        for script in &self.scripts {
            match at.checked_sub(script.share) {
                Some(left) => at = left,
                None => return script,
            }
        }
        unreachable!("shares sum to 1,000")
    }

    /// The words of an original.
    fn words(&self, number: u64) -> Vec<u32> {
        let script = self.script(number);
        let mut draw = self.draw(number, 1);
        // From two fifths of the mean to eight fifths of it; one in a hundred is five times as long.
        let length = BYTES * (400 + draw.below(1_200)) / 1_000 * if draw.below(100) == 0 { 5 } else { 1 };
        let words = length * 1_000 / script.milli_bytes_per_word;
        (0..words).map(|_| script.word(&mut draw)).collect()
    }
}

/// Another case and other white space.
fn other_form(text: &str, draw: &mut Draw) -> String {
    let upper = draw.below(2) == 0;
    let mut other = String::with_capacity(text.len() + 64);
    other.push_str("\n ");
    for c in text.chars() {
        match c {
            ' ' if draw.below(8) == 0 => other.push_str("  "),
            '\n' => other.push_str("\r\n"),
            // Of letters whose capital has this as its only small letter.
            _ if upper && c.to_uppercase().flat_map(char::to_lowercase).eq([c]) => {
                other.extend(c.to_uppercase());
            }
            _ => other.push(c),
        }
    }
    other
}

/// Edits words until the Jaccard with what they were has fallen to `goal`; gives the Jaccard reached.
fn edited(script: &Script, words: &[u32], goal: f64, draw: &mut Draw) -> (Vec<u32>, f64) {
    let before = windows(script, words);
    let mut copy = words.to_vec();
    // One in ten is cut off, or grows, at its end.
    let at_the_end = draw.below(10) == 0;
    // A replaced word breaks the windows that it stands in, on both sides.
    let broken = script.windows_per_edit;
    let windows_now = before.len() as f64;
    let about = windows_now * (1.0 - goal) / (1.0 + goal) / broken;
    let mut steps = (about * 0.8) as u64;
    loop {
        for _ in 0..steps.max(1) {
            if at_the_end {
                copy.pop();
                continue;
            }
            let at = usize::try_from(draw.below(copy.len() as u64)).expect("an index");
            match draw.below(10) {
                0..6 => copy[at] = script.word(draw),
                6..8 => _ = copy.remove(at),
                _ => copy.insert(at, script.word(draw)),
            }
        }
        steps = 1;
        let after = windows(script, &copy);
        let reached = before.intersection(&after).count() as f64 / before.union(&after).count() as f64;
        if reached <= goal || copy.len() < WINDOW {
            return (copy, reached);
        }
    }
}

/// The distinct windows of words, or of characters where the script has no spaces.
fn windows(script: &Script, words: &[u32]) -> BTreeSet<u64> {
    let units: Vec<u32> = if script.spaced {
        words.to_vec()
    } else {
        words.iter().flat_map(|word| script.units(*word)).copied().collect()
    };
    let hashed = |window: &[u32]| window.iter().fold(1, |hash, unit| draw::mixed(hash ^ u64::from(*unit)));
    units.windows(WINDOW).map(hashed).collect()
}
