//! What became of a row at a stage, and why.
//!
//! **Why**: failures are data. Per stage and lang, in = kept + dropped + faulted; the counters, the
//! audit and the final table are all read off one collection of verdicts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The stages, in the order a row meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// A row of a shard is read.
    Read,
    /// Its text is cleaned and cut into fragments. Counted per row of the shard.
    Fragment,
    /// The lang of a fragment is identified. Counted per fragment from here on.
    Identify,
    /// Heuristics of quality.
    Quality,
    /// One survivor per duplicate cluster.
    Dedup,
    /// The budget: bottom-k sample per lang.
    Sample,
    /// Native response to English.
    Translate,
    /// An English instruction that the English response answers.
    Instruct,
    /// Score of the English pair, and its gates.
    Score,
    /// Vectors for cells and near-duplicate instructions.
    Embed,
    /// Threshold on the score.
    Threshold,
    /// One exchange per cluster of nearly equal instructions.
    NearInstruction,
    /// Tempered quota per cell.
    Quota,
    /// Instruction back to the native language.
    Localize,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 14] = [
        Self::Read,
        Self::Fragment,
        Self::Identify,
        Self::Quality,
        Self::Dedup,
        Self::Sample,
        Self::Translate,
        Self::Instruct,
        Self::Score,
        Self::Embed,
        Self::Threshold,
        Self::NearInstruction,
        Self::Quota,
        Self::Localize,
    ];

    /// Its name in tables and in the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Fragment => "fragment",
            Self::Identify => "identify",
            Self::Quality => "quality",
            Self::Dedup => "dedup",
            Self::Sample => "sample",
            Self::Translate => "translate",
            Self::Instruct => "instruct",
            Self::Score => "score",
            Self::Embed => "embed",
            Self::Threshold => "threshold",
            Self::NearInstruction => "near_instruction",
            Self::Quota => "quota",
            Self::Localize => "localize",
        }
    }
}

/// What a stage decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ruling {
    /// Goes on.
    Kept,
    /// Judged and left out.
    Dropped,
    /// Could not be judged: a bad row or a bad reply.
    Faulted,
}

impl Ruling {
    /// Its name in tables and in the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Faulted => "faulted",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a row was kept, dropped or faulted. The text after the colon says what `value` counts.
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in tables and in the audit.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// Passed: a score, a length or 0, as the stage documents.
    Passed = "passed",
    // read
    /// The text is null.
    NullText = "null_text",
    /// The text is longer than `source.most_row_bytes`: bytes.
    RowTooLong = "row_too_long",
    /// The row group could not be decoded: rows lost.
    Unreadable = "unreadable",
    /// The text is not UTF-8.
    NotUtf8 = "not_utf8",
    // fragment
    /// No span of the row reaches the least length: characters of the longest.
    NoFragment = "no_fragment",
    // identify
    /// The model is not sure enough: confidence.
    UnsureLang = "unsure_lang",
    /// Another lang than the wanted ones.
    OtherLang = "other_lang",
    /// A lang that `data/langs.tsv` does not have.
    UnknownLang = "unknown_lang",
    // quality
    /// Too few sentence ends: sentences per 1,000 characters.
    FewSentences = "few_sentences",
    /// Too many symbols: share.
    Symbols = "symbols",
    /// Too many digits: share.
    Digits = "digits",
    /// Too many capitals: share.
    Capitals = "capitals",
    /// Too few words of the language's commonest: share.
    FewStopWords = "few_stop_words",
    /// Words or n-grams repeat too often: share.
    Repetition = "repetition",
    /// Lines repeat or are too short for prose: share.
    ShortLines = "short_lines",
    /// Words are too short or too long for the language: mean length.
    WordLength = "word_length",
    /// Links, addresses or mail: per 1,000 characters.
    Links = "links",
    /// Replacement characters or control codes: count.
    BrokenText = "broken_text",
    /// Says that scripts or cookies are wanted, or other phrases of boilerplate.
    Boilerplate = "boilerplate",
    // dedup
    /// Its content stands at a lesser place.
    ExactDuplicate = "exact_duplicate",
    /// It resembles a fragment at a lesser place.
    NearDuplicate = "near_duplicate",
    // sample
    /// Outside the bottom-k sample of its lang.
    OverBudget = "over_budget",
    // model stages
    /// The reply is empty.
    EmptyReply = "empty_reply",
    /// The reply is not in the wanted language.
    WrongLang = "wrong_lang",
    /// The reply was cut off.
    Truncated = "truncated",
    /// The reply repeats itself.
    Loop = "loop",
    /// The reply copies its input: words in a row.
    Copy = "copy",
    /// The lengths of input and reply do not fit: ratio.
    LengthRatio = "length_ratio",
    /// Digits of the input are missing in the reply, or new ones stand in it.
    DigitsDiffer = "digits_differ",
    /// The model refused.
    Refused = "refused",
    /// The model said that the text does not fit an instruction.
    Unfit = "unfit",
    /// No candidate instruction passed the gates.
    NoCandidate = "no_candidate",
    /// Outside the wanted length: characters.
    Length = "length",
    /// Speaks of "the text above" or the like.
    RefersToText = "refers_to_text",
    /// The reply does not keep its contract.
    Malformed = "malformed",
    /// No translator for the pair of languages.
    NoTranslator = "no_translator",
    /// The endpoints gave no answer for this row in all its tries: resets, errors of the server.
    GaveUp = "gave_up",
    /// They gave none in time.
    TimedOut = "timed_out",
    /// What they sent is no reply: half of one, no JSON, no UTF-8, nothing.
    Garbled = "garbled",
    /// Another model than the wanted one replied.
    WrongModel = "wrong_model",
    /// The reply is longer than `most_reply_bytes`.
    ReplyTooLong = "reply_too_long",
    /// They refuse the request itself.
    Rejected = "rejected",
    /// Instruction and response are too far apart: cosine.
    LowCosine = "low_cosine",
    // selection
    /// Under the threshold: score.
    LowScore = "low_score",
    /// Its instruction resembles one with a better score.
    NearInstruction = "near_instruction",
    /// Its cell is full.
    CellFull = "cell_full",
}

impl Reason {
    /// Whether the endpoints left the row without an answer, so that another run may end otherwise: nothing is kept of
    /// such a row.
    pub fn is_unanswered(self) -> bool {
        matches!(
            self,
            Self::GaveUp
                | Self::TimedOut
                | Self::Garbled
                | Self::WrongModel
                | Self::ReplyTooLong
                | Self::Rejected
        )
    }
}

/// What became of a row at a stage. `value` is in millionths of what the reason counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// Where.
    pub stage: Stage,
    /// What.
    pub ruling: Ruling,
    /// Why.
    pub reason: Reason,
    /// How much, in millionths; 0 where the reason counts nothing.
    pub value: i64,
}

impl Verdict {
    /// Goes on, with a value worth auditing.
    pub fn kept(stage: Stage, value: f64) -> Self {
        Self { stage, ruling: Ruling::Kept, reason: Reason::Passed, value: micros(value) }
    }

    /// Judged and left out.
    pub fn dropped(stage: Stage, reason: Reason, value: f64) -> Self {
        Self { stage, ruling: Ruling::Dropped, reason, value: micros(value) }
    }

    /// Could not be judged.
    pub fn faulted(stage: Stage, reason: Reason, value: f64) -> Self {
        Self { stage, ruling: Ruling::Faulted, reason, value: micros(value) }
    }
}

/// Millionths, so that equal decisions are equal rows: no float ever enters an arrangement.
#[expect(clippy::cast_possible_truncation, reason = "an `as` cast saturates, and NaN becomes 0")]
pub fn micros(value: f64) -> i64 {
    (value * 1e6).round() as i64
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.stage.name(), self.ruling.name(), self.reason.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_tell_reasons_and_stages_apart() {
        let reasons: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(reasons.len(), Reason::ALL.len());
        let stages: BTreeSet<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
        assert_eq!(stages.len(), Stage::ALL.len());
        assert!(Stage::ALL.is_sorted());
    }

    #[test]
    fn values_are_millionths() {
        assert_eq!(micros(0.25), 250_000);
        assert_eq!(micros(-1.5), -1_500_000);
        assert_eq!(micros(f64::NAN), 0);
    }
}
