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
    /// The rows of n-grams in the order of their buckets, then those of the vocabulary.
    rows: Box<[Vector]>,
    ngrams: Ngrams,
    lengths: RangeInclusive<usize>,
}

thread_local! {
    /// A token between its marks, and what a text asks for; kept from text to text.
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
        let in_order = kept.iter().map(|(_, row)| &of_ngrams[*row as usize]).chain(words);
        Self {
            by_hash: Table::of(&hashes),
            rows: in_order.copied().collect(),
            ngrams: Ngrams::new(kept.iter().map(|(bucket, _)| *bucket), buckets, vocabulary.len()),
            vocabulary,
            lengths,
        }
    }

    /// The mean of a text's rows; `None` if it has none.
    pub(super) fn mean_of(&self, text: &str) -> Option<Vector> {
        BUFFERS.with_borrow_mut(|(marked, places)| {
            places.clear();
            for token in text.split_whitespace().filter(|token| !token.starts_with(LABEL)) {
                places.extend(self.word(token));
                if token != END_OF_LINE {
                    marked.clear();
                    marked.push(b'<');
                    marked.extend_from_slice(token.as_bytes());
                    marked.push(b'>');
                    self.ngrams_of(marked, places);
                }
            }
            places.extend(self.word(END_OF_LINE));
            self.ngrams.ranks(places);
            mean(&self.rows, places)
        })
    }

    fn word(&self, token: &str) -> Option<u32> {
        let hash = extended(SEED, token.as_bytes());
        let word = self.by_hash.find(hash, |word| *self.vocabulary[word as usize] == *token)?;
        Some(self.ngrams.word(word))
    }

    /// Appends the buckets of all n-grams of a token between its marks, but for the marks alone.
    fn ngrams_of(&self, marked: &[u8], buckets: &mut Vec<u32>) {
        let (least, most) = (*self.lengths.start(), *self.lengths.end());
        let mut from = 0;
        // Most tokens are ASCII, and the models that people have read two to four characters.
        if (least, most) == (2, 4) && marked.is_ascii() {
            while let Some([one, two, three, four]) = marked.get(from..).and_then(|rest| rest.first_chunk()) {
                let two = extended(SEED, &[*one, *two]);
                let three = extended(two, &[*three]);
                let four = extended(three, &[*four]);
                buckets.extend([two, three, four].map(|hash| self.ngrams.bucket(hash)));
                from += 1;
            }
        }
        while let Some(first) = marked.get(from) {
            let (mut hash, mut end) = (SEED, from);
            for length in 1..=most {
                let Some(lead) = marked.get(end) else { break };
                let next = marked.len().min(end + width(*lead));
                hash = extended(hash, &marked[end..next]);
                end = next;
                let a_mark = length == 1 && (from == 0 || end == marked.len());
                if length >= least && !a_mark {
                    buckets.push(self.ngrams.bucket(hash));
                }
            }
            from += width(*first);
        }
    }
}

/// The mean of some rows, added in their order; `None` without any. Not inlined, so that the sum stays in registers.
#[inline(never)]
fn mean(rows: &[Vector], places: &[u32]) -> Option<Vector> {
    let mut sum = [0.0; DIM];
    for place in places {
        for (sum, value) in sum.iter_mut().zip(&rows[*place as usize]) {
            *sum += value;
        }
    }
    let share = 1.0 / places.len() as f32;
    (!places.is_empty()).then(|| sum.map(|value| value * share))
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

/// How many bytes the character has that begins with this one.
fn width(lead: u8) -> usize {
    (lead.leading_ones() as usize).max(1)
}
