//! The decision: measured traits against the limits of the language.

use super::measure::{Meter, Traits};
use super::settings::{QualityLimits, QualitySettings};
use super::stops::Stops;
use crate::model::{Lang, Reason, Stage, Verdict};
use crate::stage::clean::Phrases;
use std::collections::BTreeMap;

/// Judges fragments; keeps its buffers.
pub struct Judge {
    all: QualityLimits,
    langs: BTreeMap<Lang, QualityLimits>,
    stops: Stops,
    boilerplate: Phrases,
    meter: Meter,
}

/// Phrases of pages that sell, warn or fill space.
const BOILERPLATE: &str = include_str!("../../../data/quality/boilerplate.txt");

impl Judge {
    /// A judge; ranges are the business of [`QualitySettings::check`].
    pub fn new(settings: &QualitySettings) -> Self {
        let langs = settings.langs.iter();
        let langs = langs
            .filter_map(|(tag, change)| Some((Lang::from_tag(tag)?, settings.all.with(change))))
            .collect();
        Self {
            all: settings.all.clone(),
            langs,
            stops: Stops::get(),
            boilerplate: Phrases::of(BOILERPLATE),
            meter: Meter::default(),
        }
    }

    /// Judges a fragment of a lang.
    ///
    /// # Errors
    /// The verdict, for the first limit that it breaks.
    pub fn judge(&mut self, text: &str, lang: Lang) -> Result<(), Verdict> {
        let stops = self.stops.of(lang);
        let traits = self.meter.measure(text, lang.sentence_end(), stops);
        let limits = self.langs.get(&lang).unwrap_or(&self.all);
        let phrases = self.boilerplate.count(text);
        match verdict(&traits, limits, lang, stops.is_some(), phrases) {
            Some((reason, value)) => Err(Verdict::dropped(Stage::Quality, reason, value)),
            None => Ok(()),
        }
    }
}

/// The first limit that is broken, and the value that breaks it.
fn verdict(
    traits: &Traits,
    limits: &QualityLimits,
    lang: Lang,
    listed: bool,
    phrases: usize,
) -> Option<(Reason, f64)> {
    let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
    let thousand = |count: u32| share(count, traits.chars) * 1000.0;
    let spaced = traits.dense * 2 <= traits.letters;
    let marked = traits.unmarked * 2 <= traits.letters;
    // Where few characters say much, 1,000 of them hold more sentences.
    let scale = if lang.dense() { 0.4 } else { 1.0 };
    let sentences = thousand(traits.sentences) * scale;
    let word_length = share(traits.word_chars, traits.words);
    let units = traits.words + traits.dense;
    let repeats = share(traits.repeats, traits.windows);
    let one_word = if spaced { share(traits.top_word, traits.words) } else { 0.0 };
    let short_lines = if traits.lines >= 8 { share(traits.short_lines, traits.lines) } else { 0.0 };
    let boilerplate = thousand(u32::try_from(phrases).unwrap_or(u32::MAX));
    let checks = [
        (Reason::BrokenText, thousand(traits.broken), 0.0, limits.most_broken),
        (Reason::Boilerplate, boilerplate, 0.0, limits.most_boilerplate),
        (Reason::Repetition, repeats, 0.0, limits.most_repeats),
        (Reason::Repetition, one_word, 0.0, limits.most_one_word),
        (Reason::Symbols, share(traits.symbols, traits.chars), 0.0, limits.most_symbols),
        (Reason::Digits, share(traits.digits, traits.letters + traits.digits), 0.0, limits.most_digits),
        (Reason::Capitals, share(traits.capitals, traits.letters), 0.0, limits.most_capitals),
        (Reason::Links, thousand(traits.links), 0.0, limits.most_links),
        (Reason::ShortLines, short_lines, 0.0, limits.most_short_lines),
        (Reason::FewSentences, sentences, if marked { limits.least_sentences } else { 0.0 }, f64::INFINITY),
        (
            Reason::WordLength,
            word_length,
            if spaced { limits.least_word_length } else { 0.0 },
            if spaced { limits.most_word_length } else { f64::INFINITY },
        ),
        (
            Reason::FewStopWords,
            share(traits.stops, units),
            if listed { limits.least_stop_words } else { 0.0 },
            f64::INFINITY,
        ),
    ];
    checks
        .into_iter()
        .find(|(_, value, least, most)| !(*least..=*most).contains(value))
        .map(|(reason, value, _, _)| (reason, value))
}
