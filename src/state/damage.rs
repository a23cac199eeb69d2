//! What is said of state that is not as it was written.

use crate::error::Error;
use std::path::Path;

/// A file of the state is missing or altered.
pub(crate) fn damaged(path: &Path, how: &str) -> Error {
    Error::unavailable(format!(
        "state damaged: how={how}, path={}, remedy=delete the folder `epochs` of the state and run again: it is built anew \
         from artefacts and shards, no answer is paid twice and nothing that was published is lost",
        path.display()
    ))
}
