//! The only place that writes to the terminal: results on stdout, everything else on stderr.

use crate::error::Error;
use std::error::Error as _;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Writes a line of the result. A closed pipe is the reader's choice, not a failure.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes why a command ended, and the chain of causes.
pub fn tell(error: &Error) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "isogloss: {error}");
    let mut cause = error.source();
    while let Some(why) = cause {
        // A cause may quote hostile text.
        let plain: String = why.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(stderr, "  because: {plain}");
        cause = why.source();
    }
}

/// Whether a person is watching progress.
pub fn watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Log lines on stderr; `quiet` leaves warnings only.
pub fn log(quiet: bool) {
    let level = if quiet { "warn" } else { "isogloss=info,warn" };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(watched())
        .with_target(false)
        .try_init();
}
