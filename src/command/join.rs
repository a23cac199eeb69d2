//! `isogloss join`: a process that works for a run which another one leads.

use super::interrupt;
use crate::cli;
use crate::cluster::{self, TOKEN};
use crate::curate;
use crate::error::Result;
use crate::llm::key::Key;
use crate::stop::Stop;
use std::time::Duration;

/// Joins, and works until the run ends.
///
/// # Errors
/// As [`curate::join`].
pub fn join(flags: &cli::Join) -> Result<()> {
    let (runtime, stop) = (super::run::runtime()?, Stop::default());
    interrupt::watch(runtime.handle(), stop.clone());
    let wanted = cluster::Join {
        leader: flags.leader.clone(),
        token: Key::from_env("join", TOKEN)?.reveal().to_owned(),
        patience: Duration::from_secs(flags.wait),
    };
    let done = curate::join(&wanted, curate::Given::default(), runtime.handle(), &stop);
    runtime.shutdown_background();
    done
}
