//! What ends a run, sorted by who must act.
//!
//! **Why**: a user reads one line and wants to know whose turn it is. Trouble with one row is a
//! [`Verdict`](crate::model::Verdict) and flows as data; only what no row can answer for is an [`Error`].

use std::error;
use std::fmt;

/// Shorthand used by everything that can end the run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Grows only when a caller would act differently. Each kind has its own exit code.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The operator: a setting is missing, unknown or out of range.
    Config,
    /// The corpus owner: a shard does not match the schema it declares.
    Corpus,
    /// Nobody yet: a store, tool or endpoint is away; the same run may pass later.
    Unavailable,
    /// The budget of the run is spent: whoever pays raises it, and the next run resumes.
    Budget,
    /// The person at the terminal asked us to stop; the next run resumes.
    Interrupted,
    /// Us: an invariant broke. Please report it.
    Bug,
}

impl ErrorKind {
    /// The process exit code of this kind (2 is left to the flag parser).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 3,
            Self::Corpus => 4,
            Self::Unavailable => 5,
            Self::Budget => 6,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// Ends the run. `what` is a lower-case fragment with the facts last; the cause stays in `source()`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    cause: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, without a cause.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    /// A setting is missing, unknown or out of range: name the key, the value, the range, the remedy.
    pub fn config(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, what)
    }

    /// A shard does not match the schema it declares.
    pub fn corpus(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corpus, what)
    }

    /// Something outside is away; the same run may pass later.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, what)
    }

    /// An invariant of ours broke.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, what)
    }

    /// Attaches the cause, which `source()` gives back.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_cause_stays_out_of_the_message() {
        let error = Error::corpus("shard unreadable: path=a.parquet").because("disk on fire");
        assert_eq!(error.to_string(), "shard unreadable: path=a.parquet");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn every_kind_has_its_own_exit_code() {
        let kinds = [
            ErrorKind::Config,
            ErrorKind::Corpus,
            ErrorKind::Unavailable,
            ErrorKind::Budget,
            ErrorKind::Interrupted,
            ErrorKind::Bug,
        ];
        let codes: std::collections::BTreeSet<u8> = kinds.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes.len(), kinds.len());
    }
}
