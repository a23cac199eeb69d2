//! Numbers survive translation.
//!
//! **Why**: a changed year or dose is the worst thing a translation can do, and the easiest to see. Languages write the
//! same number differently, so a number counts as kept under another grouping, in other digits, as a word, as a round
//! number with its unit (`10 mil`, `10,000`), as an hour before or after noon, as a decade, or as a Roman numeral.

use super::{Passed, words};
use crate::model::{Lang, Reason};
use std::collections::BTreeSet;

/// A number of a text: its digits without grouping, and each group alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    joined: String,
    groups: Vec<String>,
}

/// One side of a translation.
struct Side {
    numbers: Vec<Number>,
    joined: BTreeSet<String>,
    groups: BTreeSet<String>,
    words: BTreeSet<String>,
    romans: BTreeSet<u32>,
    /// Runs of Han numerals, each of which may be a number of the other side.
    han: usize,
    english: bool,
}

/// Numbers of the source stand in the reply, and no others do; one in ten may be lost or added.
///
/// # Errors
/// [`Reason::DigitsDiffer`] with how many are lost or new.
pub fn digits_kept(source: &str, from: Lang, reply: &str, to: Lang) -> Passed {
    let (source, reply) = (Side::of(source, from), Side::of(reply, to));
    let lost = source.lacking_in(&reply);
    let new = reply.lacking_in(&source);
    let most = |numbers: &[Number]| numbers.len() / 10;
    if lost > most(&source.numbers) + reply.han || new > most(&reply.numbers) + source.han {
        return Err((Reason::DigitsDiffer, (lost + new) as f64));
    }
    Ok(())
}

impl Side {
    fn of(text: &str, lang: Lang) -> Self {
        let numbers = numbers_of(text);
        Self {
            joined: numbers.iter().map(|number| number.joined.clone()).collect(),
            groups: numbers.iter().flat_map(|number| number.groups.iter().cloned()).collect(),
            words: words(text)
                .into_iter()
                .flat_map(|word| word.split('-').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            romans: text.split(|c: char| !c.is_alphanumeric()).filter_map(roman).collect(),
            han: if lang.dense() { han_runs(text) } else { 0 },
            english: lang.code() == "eng",
            numbers,
        }
    }

    /// How many different numbers of this side the other has in no form.
    fn lacking_in(&self, other: &Self) -> usize {
        let mut lacking: Vec<&str> = self
            .numbers
            .iter()
            .filter(|number| !other.has(number))
            .map(|number| number.joined.as_str())
            .collect();
        lacking.sort_unstable();
        lacking.dedup();
        lacking.len()
    }

    fn has(&self, number: &Number) -> bool {
        self.joined.contains(&number.joined)
            || number.groups.iter().all(|group| self.groups.contains(group))
            || self.joined.iter().any(|own| akin(own, &number.joined))
            || number.joined.parse().is_ok_and(|value: u64| self.says(value))
    }

    /// The value stands here as words or as a Roman numeral.
    fn says(&self, value: u64) -> bool {
        if u32::try_from(value).is_ok_and(|value| self.romans.contains(&value)) {
            return true;
        }
        if !self.english {
            // Words for numbers are not known here: those that people spell out are believed.
            let digits = value.to_string();
            return value <= 20
                || (value <= 100 && value.is_multiple_of(10))
                || digits.trim_end_matches('0').len() + 2 <= digits.len();
        }
        let has = |names: &[&str]| names.iter().any(|name| self.words.contains(*name));
        let named = |value: u64| NAMES.iter().any(|(known, names)| *known == value && has(names));
        let scale =
            [(100, "hundred"), (1000, "thousand"), (1_000_000, "million"), (1_000_000_000, "billion")];
        named(value)
            || (value > 20 && value < 100 && named(value / 10 * 10) && named(value % 10))
            || scale.iter().any(|(unit, name)| {
                let plural = format!("{name}s");
                value >= *unit && value.is_multiple_of(*unit) && has(&[name, &plural]) && {
                    let times = value / unit;
                    times == 1 || named(times) || self.joined.contains(&times.to_string())
                }
            })
    }
}

/// English names of numbers; tens and units make the others.
const NAMES: [(u64, &[&str]); 29] = [
    (0, &["zero", "none", "no", "null"]),
    (1, &["one", "first", "a", "an", "single", "once"]),
    (2, &["two", "second", "twice", "both", "half", "couple", "pair", "double"]),
    (3, &["three", "third", "thirds", "triple"]),
    (4, &["four", "fourth", "quarter", "quarters"]),
    (5, &["five", "fifth", "fifths"]),
    (6, &["six", "sixth"]),
    (7, &["seven", "seventh"]),
    (8, &["eight", "eighth"]),
    (9, &["nine", "ninth"]),
    (10, &["ten", "tenth", "decade"]),
    (11, &["eleven", "eleventh"]),
    (12, &["twelve", "twelfth", "dozen", "noon", "midday", "midnight"]),
    (13, &["thirteen", "thirteenth"]),
    (14, &["fourteen", "fourteenth"]),
    (15, &["fifteen", "fifteenth"]),
    (16, &["sixteen", "sixteenth"]),
    (17, &["seventeen", "seventeenth"]),
    (18, &["eighteen", "eighteenth"]),
    (19, &["nineteen", "nineteenth"]),
    (20, &["twenty", "twentieth", "twenties"]),
    (30, &["thirty", "thirtieth", "thirties", "half"]),
    (40, &["forty", "fortieth", "forties"]),
    (50, &["fifty", "fiftieth", "fifties", "half"]),
    (60, &["sixty", "sixtieth", "sixties"]),
    (70, &["seventy", "seventieth", "seventies"]),
    (80, &["eighty", "eightieth", "eighties"]),
    (90, &["ninety", "ninetieth", "nineties"]),
    (24, &["midnight"]),
];

/// Two numbers that may be one: other zeros for a unit, hours before and after noon, a decade and its year.
fn akin(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let core = |digits: &str| digits.trim_start_matches('0').trim_end_matches('0').to_owned();
    let more = long.len() - short.len();
    if core(a) == core(b) && !core(a).is_empty() && (more == 0 || (3..=9).contains(&more) || more == 12) {
        return true;
    }
    if a.trim_start_matches('0') == b.trim_start_matches('0') {
        return true;
    }
    if let (Ok(a), Ok(b)) = (a.parse::<u64>(), b.parse::<u64>())
        && a.abs_diff(b) == 12
        && a.max(b) <= 24
    {
        return true;
    }
    long.len() == 4
        && short.len() == 2
        && long.ends_with(short)
        && (long.starts_with('1') || long.starts_with("20"))
}

/// The numbers of a text, in order. Groups are parted by `.`, `,` and the like between digits, or by a space before
/// exactly three digits; a myriad behind them counts.
fn numbers_of(text: &str) -> Vec<Number> {
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: usize| chars.get(at).copied().and_then(digit_of);
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if digit(at).is_none() {
            at += 1;
            continue;
        }
        let mut groups = vec![String::new()];
        loop {
            while let Some(value) = digit(at) {
                groups.last_mut().unwrap_or(&mut String::new()).push(value);
                at += 1;
            }
            let tail = (1..=4).take_while(|ahead| digit(at + ahead).is_some()).count();
            let joins = match chars.get(at) {
                Some('.' | ',' | '\'' | '’' | '٫' | '٬' | '،') => tail > 0,
                Some(' ' | '\u{a0}' | '\u{2009}' | '\u{202f}') => {
                    tail == 3 && groups.last().is_some_and(|group| group.len() <= 3)
                }
                _ => false,
            };
            if !joins {
                break;
            }
            groups.push(String::new());
            at += 1;
        }
        let zeros = match chars.get(at) {
            Some('万' | '萬' | '만') => "0000",
            Some('億' | '亿' | '억') => "00000000",
            _ => "",
        };
        numbers.push(Number { joined: groups.concat() + zeros, groups });
    }
    numbers
}

/// The ASCII digit that a decimal digit of any script stands for; superscripts and subscripts count.
fn digit_of(c: char) -> Option<char> {
    const ZEROS: [u32; 18] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
        0xed0, 0xf20, 0x1040, 0xff10,
    ];
    const MORE: [u32; 3] = [0x17e0, 0x1810, 0x2080];
    match c {
        '²' => return Some('2'),
        '³' => return Some('3'),
        '¹' => return Some('1'),
        _ => {}
    }
    let code = u32::from(c);
    let zero = ZEROS.iter().chain(&MORE).find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// The value of a Roman numeral in capitals, from II up.
fn roman(word: &str) -> Option<u32> {
    let values: Option<Vec<u32>> = word
        .chars()
        .map(|c| match c {
            'I' => Some(1),
            'V' => Some(5),
            'X' => Some(10),
            'L' => Some(50),
            'C' => Some(100),
            'D' => Some(500),
            'M' => Some(1000),
            _ => None,
        })
        .collect();
    let values = values.filter(|values| (1..=9).contains(&values.len()))?;
    let next = values.iter().skip(1).copied().chain([0]);
    let total: i64 =
        values.iter().zip(next).map(|(own, next)| i64::from(*own) * if *own < next { -1 } else { 1 }).sum();
    u32::try_from(total).ok()
}

/// Runs of two or more Han numerals.
fn han_runs(text: &str) -> usize {
    text.split(|c| !"〇零一二三四五六七八九十百千万億亿兩两".contains(c))
        .filter(|run| run.chars().count() >= 2)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(source: &str, from: &str, reply: &str) -> bool {
        let lang = |tag| Lang::from_tag(tag).expect("in the table");
        digits_kept(source, lang(from), reply, lang("eng_Latn")).is_ok()
    }

    #[test]
    fn one_number_has_many_forms() {
        for (source, from, reply) in [
            ("Custou R$ 1.234,50 em 1998.", "por_Latn", "It cost R$1,234.50 in 1998."),
            ("1 500 metros", "fra_Latn", "1,500 metres"),
            ("Tem 12 anos e 25 dias.", "por_Latn", "It is twelve years and twenty-five days old."),
            ("10 mil pessoas, 3 milhões de euros", "por_Latn", "10,000 people, 3,000,000 euros"),
            ("1,5 milhão", "por_Latn", "1.5 million"),
            ("às 14h30", "por_Latn", "at 2:30 pm"),
            ("nos anos 80", "por_Latn", "in the 1980s"),
            ("no século XIX", "por_Latn", "in the 19th century"),
            ("dois mil e 15 por cento", "por_Latn", "2,000 and 15 percent"),
            ("عام ١٩٩٨", "arb_Arab", "in 1998"),
            ("१९४७ में", "hin_Deva", "in 1947"),
            ("一九九八年有三百人", "cmn_Hani", "In 1998 there were 300 people"),
            ("人口1200万", "cmn_Hani", "a population of 12 million"),
            ("50 m² por 07 dias", "por_Latn", "50 m2 for 7 days"),
            ("1º de maio", "por_Latn", "the first of May"),
            ("200 mil", "por_Latn", "two hundred thousand"),
            ("sem números", "por_Latn", "no numbers"),
        ] {
            assert!(kept(source, from, reply), "{source} / {reply}");
        }
    }

    #[test]
    fn changed_lost_and_invented_numbers_are_found() {
        for (source, from, reply) in [
            ("Nasceu em 1954.", "por_Latn", "Born in 1945."),
            ("Nasceu em 1954.", "por_Latn", "Born in the fifties."),
            ("Tome 250 mg.", "por_Latn", "Take 25 mg."),
            ("Tome um comprimido.", "por_Latn", "Take 137 mg."),
            ("Custa 35 euros.", "por_Latn", "It costs 53 euros."),
            ("عام ١٩٩٨", "arb_Arab", "in 1989"),
        ] {
            assert!(!kept(source, from, reply), "{source} / {reply}");
        }
    }

    #[test]
    fn one_in_ten_may_go() {
        let source = (101..=111).map(|n| n.to_string()).collect::<Vec<_>>().join("; ");
        assert!(kept(&source, "por_Latn", source.trim_end_matches("; 111")));
        assert!(!kept(&source, "por_Latn", source.trim_end_matches("; 110; 111")));
    }

    #[test]
    fn roman_numerals_have_values() {
        let values: Vec<_> =
            ["XIX", "IV", "MCMXCVIII", "MIX", "Brasil", ""].iter().map(|word| roman(word)).collect();
        assert_eq!(values, [Some(19), Some(4), Some(1998), Some(1009), None, None]);
    }

    proptest! {
        #[test]
        fn a_text_keeps_its_own_numbers(text in "\\PC{0,120}|([0-9., ٣५Ⅳ]{0,9}[a-z ]{0,3}){0,20}") {
            prop_assert!(kept(&text, "eng_Latn", &text));
            prop_assert!(kept(&text, "cmn_Hani", &text));
        }
    }
}
