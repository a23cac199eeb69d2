//! `isogloss show`: rows for people, native text and its English side by side.

use super::terminal;
use crate::cli;
use crate::error::Result;
use crate::sink::show::show as page;

/// Shows rows of an output.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no output, or none of the lang.
pub fn show(flags: &cli::Show) -> Result<()> {
    terminal::say(page(&flags.output, flags.lang.as_deref(), flags.rows, flags.width)?);
    Ok(())
}
