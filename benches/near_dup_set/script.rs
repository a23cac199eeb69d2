//! Invented words of seven scripts, drawn by Zipf's law, and how they become text.

use super::Draw;
use std::collections::BTreeSet;

/// Words of a script.
const WORDS: usize = 20_000;

/// One script and its words.
pub(crate) struct Script {
    /// As in the ISO 15924 code.
    pub(crate) name: &'static str,
    /// A language that is written in it.
    pub(crate) language: &'static str,
    /// Documents of a thousand.
    pub(crate) share: u64,
    /// Words stand apart by spaces.
    pub(crate) spaced: bool,
    /// Bytes of a word as drawn, with what follows it, in thousandths.
    pub(crate) milli_bytes_per_word: u64,
    /// Windows that one edit breaks, on either side.
    pub(crate) windows_per_edit: f64,
    stops: [&'static str; 2],
    words: Vec<String>,
    units: Vec<Vec<u32>>,
    /// Where each word ends in the range of all draws.
    ends: Vec<u64>,
}

impl Script {
    /// All seven. Two have no spaces: 140 documents of a thousand.
    pub(crate) fn all(seed: u64) -> Vec<Self> {
        vec![
            Self::new(seed, 1, "Latn", "por", 280, true, [". ", ", "], latin),
            Self::new(seed, 2, "Cyrl", "rus", 160, true, [". ", ", "], cyrillic),
            Self::new(seed, 3, "Arab", "arb", 140, true, [". ", "، "], arabic),
            Self::new(seed, 4, "Deva", "hin", 140, true, ["। ", ", "], devanagari),
            Self::new(seed, 5, "Hang", "kor", 140, true, [". ", ", "], hangul),
            Self::new(seed, 6, "Hani", "cmn", 80, false, ["。", "，"], han),
            Self::new(seed, 7, "Thai", "tha", 60, false, [" ", " "], thai),
        ]
    }

    #[expect(clippy::too_many_arguments, reason = "a row of the table above")]
    fn new(
        seed: u64,
        number: u64,
        name: &'static str,
        language: &'static str,
        share: u64,
        spaced: bool,
        stops: [&'static str; 2],
        word: fn(&mut Draw) -> String,
    ) -> Self {
        let mut draw = Draw::new(seed, u64::MAX - number);
        let (mut seen, mut words) = (BTreeSet::new(), Vec::new());
        while words.len() < WORDS {
            let made = word(&mut draw);
            if seen.insert(made.clone()) {
                words.push(made);
            }
        }
        // The commonest words are short ones, as everywhere.
        words.get_mut(..200).expect("as many").sort_by_key(String::len);
        let weight = |rank: usize| 1.0 / (rank as f64 + 2.7);
        let sum: f64 = (0..WORDS).map(weight).sum();
        let mut below = 0.0;
        let ends = (0..WORDS).map(|rank| {
            below += weight(rank) / sum;
            (below * 2_f64.powi(53)) as u64
        });
        let ends: Vec<u64> = ends.collect();
        let units: Vec<Vec<u32>> = words.iter().map(|word| units_of(word)).collect();
        let mean =
            |of: &dyn Fn(usize) -> f64| (0..WORDS).map(|rank| of(rank) * weight(rank) / sum).sum::<f64>();
        let bytes = mean(&|rank| words[rank].len() as f64) + if spaced { 1.2 } else { 0.3 };
        let chars = mean(&|rank| units[rank].len() as f64);
        Self {
            name,
            language,
            share,
            spaced,
            milli_bytes_per_word: (bytes * 1_000.0) as u64,
            windows_per_edit: if spaced { 5.0 } else { 4.0 + chars },
            stops,
            words,
            units,
            ends,
        }
    }

    /// Draws a word.
    pub(crate) fn word(&self, draw: &mut Draw) -> u32 {
        let at = draw.next() >> 11;
        let rank = self.ends.partition_point(|end| *end <= at).min(WORDS - 1);
        u32::try_from(rank).expect("a small vocabulary")
    }

    /// The characters of a word that count.
    pub(crate) fn units(&self, word: u32) -> &[u32] {
        &self.units[word as usize]
    }

    /// Words as text: sentences, paragraphs, a capital where a sentence begins.
    pub(crate) fn render(&self, words: &[u32], draw: &mut Draw) -> String {
        let mut text = String::new();
        let (mut left, mut sentences) = (0, 0);
        for word in words {
            let word = &self.words[*word as usize];
            if left == 0 {
                if !text.is_empty() {
                    text.push_str(self.stops[0]);
                    sentences += 1;
                    if sentences % 5 == 0 {
                        text.truncate(text.trim_end().len());
                        text.push_str("\n\n");
                    }
                }
                left = 6 + draw.below(18);
                let mut letters = word.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
                text.push_str(letters.as_str());
            } else {
                if left % 9 == 4 {
                    text.push_str(self.stops[1]);
                } else if self.spaced {
                    text.push(' ');
                }
                text.push_str(word);
            }
            left -= 1;
        }
        text.push_str(self.stops[0].trim_end());
        text
    }
}

/// The characters of a word in compatibility form: the Thai vowel AM is two.
fn units_of(word: &str) -> Vec<u32> {
    let parts = |c: char| if c == '\u{e33}' { vec!['\u{e4d}', '\u{e32}'] } else { vec![c] };
    word.chars().flat_map(parts).map(u32::from).collect()
}

fn one(draw: &mut Draw, of: &[char]) -> char {
    of[usize::try_from(draw.below(of.len() as u64)).expect("an index")]
}

fn between(draw: &mut Draw, first: u32, last: u32) -> char {
    let at = u32::try_from(draw.below(u64::from(last - first + 1))).expect("a small range");
    char::from_u32(first + at).expect("a character")
}

fn alphabetic(draw: &mut Draw, consonants: &str, vowels: &str) -> String {
    let (consonants, vowels): (Vec<char>, Vec<char>) =
        (consonants.chars().collect(), vowels.chars().collect());
    let mut word = String::new();
    for _ in 0..=draw.below(3) {
        word.push(one(draw, &consonants));
        word.push(one(draw, &vowels));
        if draw.below(3) == 0 {
            word.push(one(draw, &consonants));
        }
    }
    word
}

fn latin(draw: &mut Draw) -> String {
    alphabetic(draw, "bcdfglmnprstvzhjqxçñ", "aaaaaaaaaaaeeeeeeeeeeiiiiiiiooooooooouuuáéíóãêâ")
}

fn cyrillic(draw: &mut Draw) -> String {
    alphabetic(draw, "бвгджзклмнпрстфхцчшщ", "аеиоуыэюяйё")
}

fn arabic(draw: &mut Draw) -> String {
    let letters: Vec<char> = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي".chars().collect();
    let mut word = if draw.below(4) == 0 { "ال".to_owned() } else { String::new() };
    (0..2 + draw.below(4)).for_each(|_| word.push(one(draw, &letters)));
    word
}

fn devanagari(draw: &mut Draw) -> String {
    let consonants: Vec<char> = "कखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह".chars().collect();
    let signs: Vec<char> = "ािीुूेैोौं".chars().collect();
    let mut word = String::new();
    for _ in 0..=draw.below(4) {
        word.push(one(draw, &consonants));
        if draw.below(6) == 0 {
            word.push('\u{94d}');
            word.push(one(draw, &consonants));
        }
        if draw.below(3) > 0 {
            word.push(one(draw, &signs));
        }
    }
    word
}

fn hangul(draw: &mut Draw) -> String {
    (0..=draw.below(4)).map(|_| between(draw, 0xac00, 0xd7a3)).collect()
}

fn han(draw: &mut Draw) -> String {
    (0..=draw.below(3)).map(|_| between(draw, 0x4e00, 0x5a00)).collect()
}

fn thai(draw: &mut Draw) -> String {
    let after: Vec<char> = "\u{e30}\u{e32}\u{e33}".chars().collect();
    let above: Vec<char> = "\u{e31}\u{e34}\u{e35}\u{e37}\u{e38}\u{e39}".chars().collect();
    let before: Vec<char> = "เแโไใ".chars().collect();
    let mut word = String::new();
    for _ in 0..=draw.below(3) {
        if draw.below(4) == 0 {
            word.push(one(draw, &before));
        }
        word.push(between(draw, 0xe01, 0xe2e));
        if draw.below(2) == 0 {
            word.push(one(draw, &above));
            if draw.below(3) == 0 {
                word.push(between(draw, 0xe48, 0xe4b));
            }
        } else if draw.below(3) == 0 {
            word.push(one(draw, &after));
        }
        if draw.below(2) == 0 {
            word.push(between(draw, 0xe01, 0xe2e));
        }
    }
    word
}
