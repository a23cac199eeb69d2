//! `isogloss settings`: every setting with the value that a run would use.

use super::terminal;
use crate::cli;
use crate::config::Settings;
use crate::error::{Error, Result};

/// Prints the settings as TOML.
///
/// # Errors
/// As [`Settings::load`].
pub fn settings(flags: &cli::Print) -> Result<()> {
    let settings = match &flags.settings {
        Some(path) => Settings::load(path, &flags.set)?,
        None => Settings::parse("", &flags.set)?,
    };
    let text = toml::to_string_pretty(&settings)
        .map_err(|cause| Error::bug("settings not written").because(cause))?;
    terminal::say(text.trim_end());
    Ok(())
}
