//! Ctrl-C: the first one stops the run cleanly, the second one at once.
//!
//! **Why**: everything that was paid for is in the journal before it is used, so both are safe; the clean stop
//! merely closes files and says what to do next.

use crate::error::{Error, ErrorKind};
use crate::stop::Stop;
use tokio::runtime::Handle;

/// Raises `stop` on the first interrupt or termination signal and ends the process on the second.
pub fn watch(runtime: &Handle, stop: Stop) {
    runtime.spawn(async move {
        next().await;
        tracing::warn!("stopping: run the same command again to resume; Ctrl-C again to stop at once");
        stop.raise(Error::new(
            ErrorKind::Interrupted,
            "interrupted: remedy=run the same command again to resume",
        ));
        next().await;
        std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
    });
}

#[cfg(unix)]
async fn next() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[cfg(not(unix))]
async fn next() {
    let _ = tokio::signal::ctrl_c().await;
}
