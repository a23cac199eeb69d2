//! What is said of state that is not as it was written.

use super::manifest::EPOCHS;
use super::store::ARTEFACTS;
use crate::error::Error;
use std::path::Path;

/// A file of the state is missing or altered. The remedy names what to delete, each in backticks.
pub(crate) fn damaged(path: &Path, how: &str) -> Error {
    let state = path.ancestors().find(|folder| folder.join(EPOCHS).is_dir()).unwrap_or(path);
    let epochs = state.join(EPOCHS);
    // An artefact that is damaged would be taken up again.
    let artefact = path.starts_with(state.join(ARTEFACTS));
    let too = if artefact { format!("`{}` and ", path.display()) } else { String::new() };
    Error::unavailable(format!(
        "state damaged: how={how}, path={}, remedy=delete {too}`{}` and run again: it is built anew from artefacts and \
         shards, no answer is paid twice and nothing that was published is lost",
        path.display(),
        epochs.display()
    ))
}
