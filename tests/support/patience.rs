//! Runs again after one that ended with an error.

use isogloss::Result;
use isogloss::curate::Outcome;
use std::time::Duration;

/// Runs once the journal is free: the asks of a run that ended hold it until they see that they are over.
pub(crate) fn patient(mut run: impl FnMut() -> Result<Outcome>) -> Result<Outcome> {
    for _ in 0..1000 {
        match run() {
            Err(error) if error.to_string().starts_with("journal in use") => {
                std::thread::sleep(Duration::from_millis(10));
            }
            ended => return ended,
        }
    }
    panic!("the journal stays in use");
}
