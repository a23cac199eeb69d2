//! One flag that ends a run: Ctrl-C, a dead endpoint, a full disk, a bug.
//!
//! **Why**: a worker that stops alone leaves the others waiting for ever. Every worker and every operator
//! that waits looks here; the first reason wins and becomes the run's error.

use crate::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by every part of a run.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    why: Arc<Mutex<Option<Error>>>,
}

impl Stop {
    /// Ends the run. Only the first reason is kept.
    pub fn raise(&self, why: Error) {
        let mut slot = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(why);
        drop(slot);
        self.raised.store(true, Ordering::Release);
    }

    /// Whether the run is to end.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// The flag itself, for readers that only look.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    /// The reason, once.
    pub fn take(&self) -> Option<Error> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_wins() {
        let stop = Stop::default();
        assert!(!stop.is_raised());
        stop.raise(Error::unavailable("endpoint away"));
        stop.clone().raise(Error::bug("later"));
        assert!(stop.is_raised());
        assert_eq!(stop.take().expect("a reason").to_string(), "endpoint away");
    }
}
