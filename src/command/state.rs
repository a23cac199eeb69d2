//! `isogloss state`: shows, verifies, compacts and collects what runs left behind for the next one.

use super::terminal;
use crate::cli;
use crate::error::{Error, Result};
use crate::sink::keep_list::KeepList;
use crate::sink::snapshot::{Output, STATE};
use crate::state::upkeep;
use std::path::Path;

/// Does what the flags say.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no output;
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another run uses it, or its state is damaged.
pub fn state(flags: &cli::State) -> Result<()> {
    let (cli::State::Show(held)
    | cli::State::Verify(held)
    | cli::State::Compact(held)
    | cli::State::Collect(held)) = flags;
    let (_lock, snapshot) = opened(&held.output)?;
    let folder = held.output.join(STATE);
    match flags {
        cli::State::Show(_) => terminal::say(upkeep::show(&folder, snapshot)?),
        cli::State::Verify(_) => {
            let upkeep::Verified { tables, artefacts, rows, bytes } = upkeep::verify(&folder, snapshot)?;
            terminal::say(format_args!(
                "state holds: tables={tables}, artefacts={artefacts}, rows={rows}, bytes={bytes}"
            ));
        }
        cli::State::Compact(_) => {
            let (before, after) = upkeep::compact(&folder, snapshot)?;
            terminal::say(format_args!("compacted: bytes before={before}, after={after}"));
        }
        cli::State::Collect(_) => {
            terminal::say(format_args!("collected: files={}", upkeep::collect(&folder, snapshot)?));
        }
    }
    Ok(())
}

/// The lock of an output, and what its state is named after.
fn opened(output: &Path) -> Result<(Output, u128)> {
    if !output.join(STATE).is_dir() {
        return Err(Error::config(format!(
            "output has no state: path={}, remedy=give the folder that a run wrote to",
            output.display()
        )));
    }
    let held = Output::open(output)?;
    // Of a run, or of `isogloss dedup`.
    let lists = KeepList::load(output).ok().flatten();
    let name = match lists {
        Some(lists) => lists.state_name()?,
        None => held.manifest()?.map(|manifest| manifest.state_name()).transpose()?.ok_or_else(|| {
            Error::config(format!("nothing published: path={}, remedy=run first", output.display()))
        })?,
    };
    Ok((held, name))
}
