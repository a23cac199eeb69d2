//! `isogloss verify`: proves every row of an output against its source.

use super::terminal;
use crate::cli;
use crate::error::{Error, Result};
use crate::sink::verify::verify as prove;

/// Verifies an output; tells each violation.
///
/// # Errors
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) if a row does not hold, and what keeps files from being read.
pub fn verify(flags: &cli::Verify) -> Result<()> {
    let report = prove(&flags.output, &flags.root, &mut |line| terminal::say(line))?;
    terminal::say(&report);
    if report.holds() {
        return Ok(());
    }
    Err(Error::corpus(format!("output does not hold: violations={}", report.count)))
}
