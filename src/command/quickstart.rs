//! `isogloss quickstart`: the main job on the corpus of the project, with nothing to set up.

use super::crew::Crew;
use super::{run, terminal};
use crate::cli;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::llm::models::{self, Cache};
use crate::sink::show;
use std::path::Path;

/// The settings of the quick start, from the root of a checkout.
const SETTINGS: &str = "dataflows/curate/quickstart.toml";

/// Columns of what is shown.
const WIDTH: usize = 100;

/// Fetches the models, runs the chain, shows five rows.
///
/// # Errors
/// As `run`, and [`ErrorKind::Config`](crate::ErrorKind::Config) outside a checkout.
pub fn quickstart(flags: &cli::Quickstart) -> Result<()> {
    let path = Path::new(SETTINGS);
    if !path.is_file() {
        return Err(Error::config(format!(
            "settings of the quick start not found: path={SETTINGS}, remedy=run it in the root of a checkout, or `isogloss run` with settings of your own"
        )));
    }
    let mut settings = Settings::load(path, &flags.set)?;
    settings.output.clone_from(&flags.output);
    settings.workers = flags.workers.unwrap_or(settings.workers);
    settings.check()?;
    let cache = Cache::at(settings.model_cache.clone())?;
    cache.fetch(models::ALL, |package| tracing::info!("fetching {package}"))?;
    let output = settings.output.clone();
    run::carry_out(settings, &Crew::default())?;
    terminal::say(show::show(&output, None, 5, WIDTH)?);
    terminal::say(format_args!(
        "Rows: {}\nMore: isogloss show {1} --rows 20\nProof: isogloss verify {1}",
        output.join("current").display(),
        output.display()
    ));
    Ok(())
}
