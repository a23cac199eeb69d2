//! Checks that instructions and translations must pass: pure functions of the texts.
//!
//! **Why**: a model's reply is a guess about a stranger's text. What can be seen without another model is seen here,
//! and every gate says what it found, so that the audit can be read and thresholds can be argued about.
//!
//! A gate gives `Ok` or a [`Finding`]: the reason and the value that the reason counts.

mod digits;
mod language;
mod length;
mod phrases;
mod question;
mod repeats;
mod words;

use crate::model::Reason;

pub use digits::digits_kept;
pub use language::{Tongue, in_script, script_share};
pub use length::{in_english, length_within, one_line, ratio_within};
pub use phrases::{no_reference, no_refusal};
pub use question::well_put;
pub use repeats::{no_echo, no_loop};
pub use words::{content_stems, content_words, copied_run, grounded, no_copy, words};

/// What a gate found: why, and how much of it.
pub type Finding = (Reason, f64);

/// The outcome of a gate.
pub type Passed = Result<(), Finding>;

/// The ending of a reply that is cut at its limit, empty or padded: what is left, or why not.
///
/// # Errors
/// [`Reason::EmptyReply`] if nothing is left.
pub fn said(reply: &str) -> Result<&str, Finding> {
    let reply = reply.trim();
    if reply.chars().any(char::is_alphanumeric) { Ok(reply) } else { Err((Reason::EmptyReply, 0.0)) }
}
