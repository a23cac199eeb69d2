//! `isogloss codebook`: topics to a frozen codebook, with the embedding model of the settings.

use super::{run, terminal};
use crate::cli;
use crate::config::Settings;
use crate::curate::roles;
use crate::error::{Error, Result};
use crate::llm::models::Cache;
use crate::llm::{Desk, Role};
use crate::stage::codebook;
use std::sync::Arc;

/// Builds a codebook file.
///
/// # Errors
/// What keeps the topics from being read, embedded or written.
pub fn codebook(flags: &cli::Codebook) -> Result<()> {
    let settings = flags
        .settings
        .as_deref()
        .map_or_else(|| Ok(Settings::default()), |path| Settings::load(path, &[]))?;
    let away = |what: &str, cause: std::io::Error| Error::unavailable(what.to_owned()).because(cause);
    let topics = std::fs::read_to_string(&flags.topics)
        .map_err(|cause| away(&format!("topics unreadable: path={}", flags.topics.display()), cause))?;
    let cache = Cache::at(settings.model_cache.clone())?;
    let endpoint = roles::open_for(&settings, &cache, &[Role::Embed])?
        .into_values()
        .next()
        .ok_or_else(|| Error::bug("no endpoint of roles.embed opened"))?;
    let desk = Desk::bare(Arc::clone(&endpoint));
    let bytes = run::runtime()?.block_on(codebook::build(&desk, &topics))?;
    std::fs::write(&flags.out, &bytes)
        .map_err(|cause| away(&format!("codebook not written: path={}", flags.out.display()), cause))?;
    terminal::say(format_args!("{}: {} bytes", flags.out.display(), bytes.len()));
    Ok(())
}
