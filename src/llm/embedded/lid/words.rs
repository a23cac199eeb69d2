//! From a text to the mean of its rows: words of the vocabulary and character n-grams.

use super::ngrams::Ngrams;
use super::table::Table;
use super::{DIM, Vector};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_64;

/// Stands for the end of a line; fastText appends it to every text.
const END_OF_LINE: &str = "</s>";
/// Tokens that start so are labels of training data, never words.
const LABEL: &str = "__label__";

/// Rows of the model and the tables that lead to them.
#[derive(Debug)]
pub(super) struct Words {
    /// All words one after the other, so that a core's cache holds them.
    vocabulary: Box<str>,
    /// Where each begins; the last entry is the end.
    begins: Box<[usize]>,
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
        let hashes: Vec<u32> = vocabulary.iter().map(|word| hash_of(word)).collect();
        let mut begins = vec![0];
        for word in &vocabulary {
            begins.push(begins.last().map_or(0, |end| end + word.len()));
        }
        kept.sort_unstable();
        kept.dedup_by_key(|(bucket, _)| *bucket);
        let (words, of_ngrams) = rows.split_at(vocabulary.len());
        let in_order = kept.iter().map(|(_, row)| &of_ngrams[*row as usize]).chain(words);
        Self {
            by_hash: Table::of(&hashes),
            rows: in_order.copied().collect(),
            ngrams: Ngrams::new(kept.iter().map(|(bucket, _)| *bucket), buckets, vocabulary.len()),
            vocabulary: vocabulary.concat().into(),
            begins: begins.into(),
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
        let is = |word: usize| {
            let (begin, end) = (self.begins[word], self.begins[word + 1]);
            self.vocabulary.as_bytes()[begin..end] == *token.as_bytes()
        };
        let word = self.by_hash.find(hash_of(token), |word| is(word as usize))?;
        Some(self.ngrams.word(word))
    }

    /// Appends the buckets of all n-grams of a token between its marks, but for the marks alone: of those that begin at the
    /// same character the shorter ones first.
    fn ngrams_of(&self, marked: &[u8], buckets: &mut Vec<u32>) {
        if self.lengths == (2..=4) {
            two_to_four(&self.ngrams, marked, buckets);
        } else {
            of_lengths(&self.ngrams, &self.lengths, marked, buckets);
        }
    }
}

/// [`Words::ngrams_of`] for any lengths.
fn of_lengths(ngrams: &Ngrams, lengths: &RangeInclusive<usize>, marked: &[u8], buckets: &mut Vec<u32>) {
    let mut from = 0;
    while let Some(first) = marked.get(from) {
        let (mut hash, mut end) = (SEED, from);
        for length in 1..=*lengths.end() {
            let Some(lead) = marked.get(end) else { break };
            let next = marked.len().min(end + width(*lead));
            hash = extended(hash, &marked[end..next]);
            end = next;
            let a_mark = length == 1 && (from == 0 || end == marked.len());
            if lengths.contains(&length) && !a_mark {
                buckets.push(ngrams.bucket(hash));
            }
        }
        from += width(*first);
    }
}

/// The same for the lengths that models are trained with: four n-grams grow by each character, side by side.
fn two_to_four(ngrams: &Ngrams, marked: &[u8], buckets: &mut Vec<u32>) {
    let bucket = |hash| ngrams.bucket(hash);
    // Of n-grams that begin one, two and three characters before the next one; and the shorter one of the last.
    let (mut one, mut two, mut three, mut shorter) = (SEED, SEED, SEED, SEED);
    let (mut at, mut count) = (0, 0);
    while let Some(lead) = marked.get(at) {
        let next = marked.len().min(at + width(*lead));
        let [first, second, third, fourth] = marked[at..next]
            .iter()
            .fold([SEED, one, two, three], |all, byte| all.map(|hash| grown(hash, *byte)));
        if count >= 3 {
            buckets.extend([bucket(shorter), bucket(three), bucket(fourth)]);
        }
        (shorter, one, two, three) = (two, first, second, third);
        (at, count) = (next, count + 1);
    }
    if count >= 3 {
        buckets.extend([bucket(shorter), bucket(three)]);
    }
    if count >= 2 {
        buckets.push(bucket(two));
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
fn extended(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| grown(hash, *byte))
}

#[inline]
fn grown(hash: u32, byte: u8) -> u32 {
    (hash ^ i32::from(byte.cast_signed()).cast_unsigned()).wrapping_mul(16_777_619)
}

/// What a word is looked up by.
#[expect(clippy::cast_possible_truncation, reason = "the low half of a hash")]
fn hash_of(word: &str) -> u32 {
    xxh3_64(word.as_bytes()) as u32
}

/// How many bytes the character has that begins with this one.
#[inline]
fn width(lead: u8) -> usize {
    match lead {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Character after character, as the paper has it: every n-gram is hashed from its start.
    fn plainly(ngrams: &Ngrams, lengths: &RangeInclusive<usize>, marked: &str) -> Vec<u32> {
        let all: Vec<String> = marked.chars().map(String::from).collect();
        let mut found = Vec::new();
        for from in 0..all.len() {
            for length in lengths.clone().filter(|length| from + length <= all.len()) {
                let ngram = all[from..from + length].concat();
                if length > 1 || !["<", ">"].contains(&ngram.as_str()) {
                    found.push(ngrams.bucket(extended(SEED, ngram.as_bytes())));
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn ngrams_are_hashed_side_by_side_as_one_by_one(
            token in "[a-zé潮😀ض]{1,8}|[^<>\\s]{1,5}",
            least in 1..5_usize,
            more in 0..4_usize,
        ) {
            let ngrams = Ngrams::new(std::iter::empty(), 2_000_000, 0);
            let marked = format!("<{token}>");
            for lengths in [2..=4, least..=least + more] {
                let mut found = Vec::new();
                of_lengths(&ngrams, &lengths, marked.as_bytes(), &mut found);
                prop_assert_eq!(&found, &plainly(&ngrams, &lengths, &marked));
                if lengths == (2..=4) {
                    found.clear();
                    two_to_four(&ngrams, marked.as_bytes(), &mut found);
                    prop_assert_eq!(&found, &plainly(&ngrams, &lengths, &marked));
                }
            }
        }
    }
}
