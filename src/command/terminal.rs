//! The only place that writes to the terminal: results on stdout, everything else on stderr.

use crate::error::Error;
use crate::telemetry::plain::{json, plain, screen};
use std::error::Error as _;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Writes lines of the result. A closed pipe is the reader's choice, not a failure.
pub fn say(lines: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{}", screen(&lines.to_string()));
}

/// Writes a result in JSON.
pub fn say_json(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", json(line));
}

/// Writes why a command ended, and the chain of causes.
pub fn tell(error: &Error) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "isogloss: {}", screen(&error.to_string()));
    let mut cause = error.source();
    while let Some(why) = cause {
        let why_text = why.to_string();
        let _ = writeln!(stderr, "  because: {}", plain(&why_text));
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
        .with_writer(|| Screen(io::stderr()))
        .with_ansi(watched())
        .with_target(false)
        .try_init();
}

/// Log lines on their way out: each is written at once, and a screen finds nothing in it to obey.
struct Screen<W>(W);

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(screen(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_cannot_drive_the_terminal() {
        let hostile = "a\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}6n\u{202e}\u{8}b";
        for ansi in [false, true] {
            let log = Arc::new(Mutex::new(Vec::new()));
            let ours = Arc::clone(&log);
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(ansi)
                .with_writer(move || Screen(Kept(Arc::clone(&ours))))
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(said = hostile, shard = ?hostile, "{hostile}");
            });
            let log = String::from_utf8(log.lock().expect("no panic").clone()).expect("UTF-8");
            assert!(log.matches("title").count() == 3 && log.lines().count() == 1, "{log:?}");
            let bare = if ansi { log.replace("\u{1b}[", "") } else { log.clone() };
            assert!(!bare.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{log:?}");
            assert!(!log.contains("\u{1b}[2J"), "{log:?}");
        }
    }
}
