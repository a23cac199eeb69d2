//! From a text to the mean of its rows: words of the vocabulary and character n-grams.

use super::table::Table;
use super::{DIM, Vector};
use std::ops::RangeInclusive;

/// Stands for the end of a line; fastText appends it to every text.
const END_OF_LINE: &str = "</s>";
/// Tokens that start so are labels of training data, never words.
const LABEL: &str = "__label__";

/// Rows of the model and the tables that lead to them.
#[derive(Debug)]
pub(super) struct Words {
    rows: Box<[Vector]>,
    vocabulary: Box<[Box<str>]>,
    by_hash: Table,
    by_bucket: Table,
    buckets: u32,
    lengths: RangeInclusive<usize>,
}

impl Words {
    /// `kept` are the buckets of n-grams that pruning left and their rows, counted from the end of the vocabulary;
    /// every row there is has to be in `rows`.
    pub(super) fn new(
        rows: Box<[Vector]>,
        vocabulary: Box<[Box<str>]>,
        kept: &[(u32, u32)],
        buckets: u32,
        lengths: RangeInclusive<usize>,
    ) -> Self {
        let hashes = vocabulary.iter().map(|word| extended(SEED, word.as_bytes()));
        let by_hash = Table::of(hashes.zip(0..).collect::<Vec<_>>().into_iter());
        Self { by_hash, by_bucket: Table::of(kept.iter().copied()), rows, vocabulary, buckets, lengths }
    }

    /// The mean of a text's rows; `None` if it has none.
    pub(super) fn mean_of(&self, text: &str) -> Option<Vector> {
        let mut sum = Sum { vector: [0.0; DIM], rows: 0 };
        let mut marked = Vec::with_capacity(64);
        for token in text.split_whitespace() {
            if token.starts_with(LABEL) {
                continue;
            }
            if let Some(row) = self.row_of(token) {
                sum.add(&self.rows[row]);
            }
            if token != END_OF_LINE {
                marked.clear();
                marked.push(b'<');
                marked.extend_from_slice(token.as_bytes());
                marked.push(b'>');
                self.add_ngrams(&marked, &mut sum);
            }
        }
        if let Some(row) = self.row_of(END_OF_LINE) {
            sum.add(&self.rows[row]);
        }
        sum.mean()
    }

    fn row_of(&self, token: &str) -> Option<usize> {
        let hash = extended(SEED, token.as_bytes());
        let row = self.by_hash.find(hash, |row| *self.vocabulary[row as usize] == *token)?;
        Some(row as usize)
    }

    /// Every n-gram of a token between its marks, but for the marks alone.
    fn add_ngrams(&self, marked: &[u8], sum: &mut Sum) {
        for start in (0..marked.len()).filter(|at| starts_character(marked[*at])) {
            let (mut hash, mut end) = (SEED, start);
            for length in 1..=*self.lengths.end() {
                if end == marked.len() {
                    break;
                }
                let from = end;
                end += 1;
                while end < marked.len() && !starts_character(marked[end]) {
                    end += 1;
                }
                hash = extended(hash, &marked[from..end]);
                let a_mark = length == 1 && (start == 0 || end == marked.len());
                if length < *self.lengths.start() || a_mark {
                    continue;
                }
                if let Some(row) = self.by_bucket.find(hash % self.buckets, |_| true) {
                    sum.add(&self.rows[self.vocabulary.len() + row as usize]);
                }
            }
        }
    }
}

/// Rows so far.
struct Sum {
    vector: Vector,
    rows: u32,
}

impl Sum {
    fn add(&mut self, row: &Vector) {
        for (sum, value) in self.vector.iter_mut().zip(row) {
            *sum += value;
        }
        self.rows += 1;
    }

    fn mean(self) -> Option<Vector> {
        let share = 1.0 / self.rows as f32;
        (self.rows > 0).then(|| self.vector.map(|value| value * share))
    }
}

/// The offset basis of FNV-1a, 32 bits.
const SEED: u32 = 2_166_136_261;

/// FNV-1a as fastText has it: each byte is extended by its sign first.
fn extended(mut hash: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        hash = (hash ^ i32::from(byte.cast_signed()).cast_unsigned()).wrapping_mul(16_777_619);
    }
    hash
}

fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}
