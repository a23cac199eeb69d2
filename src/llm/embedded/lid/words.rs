//! From a text to the mean of its rows: words of the vocabulary and character n-grams.

use super::ngrams::Ngrams;
use super::table::Table;
use super::{DIM, Vector};
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// Stands for the end of a line; fastText appends it to every text.
const END_OF_LINE: &str = "</s>";
/// Tokens that start so are labels of training data, never words.
const LABEL: &str = "__label__";

/// Rows of the model and the tables that lead to them.
#[derive(Debug)]
pub(super) struct Words {
    vocabulary: Box<[Box<str>]>,
    by_hash: Table,
    /// The rows of the vocabulary, then those of n-grams in the order of their buckets.
    rows: Box<[Vector]>,
    ngrams: Ngrams,
    lengths: RangeInclusive<usize>,
}

thread_local! {
    /// A token between its marks and the hashes of its n-grams, kept from text to text.
    static BUFFERS: RefCell<(Vec<u8>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Words {
    /// `rows`: those of the vocabulary first. `kept`: buckets of n-grams that pruning left, under `buckets`, and where their
    /// rows stand behind those of the vocabulary.
    pub(super) fn new(
        rows: &[Vector],
        vocabulary: Box<[Box<str>]>,
        mut kept: Vec<(u32, u32)>,
        buckets: u32,
        lengths: RangeInclusive<usize>,
    ) -> Self {
        let hashes: Vec<u32> = vocabulary.iter().map(|word| extended(SEED, word.as_bytes())).collect();
        kept.sort_unstable();
        kept.dedup_by_key(|(bucket, _)| *bucket);
        let (words, of_ngrams) = rows.split_at(vocabulary.len());
        let in_order = words.iter().chain(kept.iter().map(|(_, row)| &of_ngrams[*row as usize]));
        Self {
            by_hash: Table::of(&hashes),
            rows: in_order.copied().collect(),
            ngrams: Ngrams::new(kept.iter().map(|(bucket, _)| *bucket), buckets),
            vocabulary,
            lengths,
        }
    }

    /// The mean of a text's rows; `None` if it has none.
    pub(super) fn mean_of(&self, text: &str) -> Option<Vector> {
        BUFFERS.with_borrow_mut(|(marked, hashes)| {
            let mut sum = Sum { vector: [0.0; DIM], rows: 0 };
            for token in text.split_whitespace().filter(|token| !token.starts_with(LABEL)) {
                if let Some(row) = self.row_of(token) {
                    sum.add(&self.rows, &[row]);
                }
                if token != END_OF_LINE {
                    marked.clear();
                    marked.push(b'<');
                    marked.extend_from_slice(token.as_bytes());
                    marked.push(b'>');
                    hashes.clear();
                    self.hash_ngrams(marked, hashes);
                    self.ngrams.ranks(hashes);
                    let rows = &self.rows[self.vocabulary.len()..];
                    sum.add(rows, hashes);
                }
            }
            if let Some(row) = self.row_of(END_OF_LINE) {
                sum.add(&self.rows, &[row]);
            }
            sum.mean()
        })
    }

    fn row_of(&self, token: &str) -> Option<u32> {
        let hash = extended(SEED, token.as_bytes());
        self.by_hash.find(hash, |row| *self.vocabulary[row as usize] == *token)
    }

    /// Appends the hashes of all n-grams of a token between its marks, but for the marks alone.
    fn hash_ngrams(&self, marked: &[u8], hashes: &mut Vec<u32>) {
        let (least, most) = (*self.lengths.start(), *self.lengths.end());
        for start in (0..marked.len()).filter(|at| starts_character(marked[*at])) {
            let (mut hash, mut length) = (SEED, 0);
            for (at, byte) in marked.iter().enumerate().skip(start) {
                hash = extended(hash, &[*byte]);
                let end = at + 1;
                if marked.get(end).is_some_and(|next| !starts_character(*next)) {
                    continue;
                }
                length += 1;
                let a_mark = length == 1 && (start == 0 || end == marked.len());
                if length >= least && length <= most && !a_mark {
                    hashes.push(hash);
                }
                if length >= most {
                    break;
                }
            }
        }
    }
}

/// Rows so far.
struct Sum {
    vector: Vector,
    rows: usize,
}

impl Sum {
    /// Not inlined, so that the sum stays in registers.
    #[inline(never)]
    fn add(&mut self, rows: &[Vector], places: &[u32]) {
        let mut sum = self.vector;
        for place in places {
            for (sum, value) in sum.iter_mut().zip(&rows[*place as usize]) {
                *sum += value;
            }
        }
        self.vector = sum;
        self.rows += places.len();
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
