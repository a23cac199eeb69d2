//! Equal asks in flight are asked once: the first leads, the others wait for what it brings.

use crate::error::ErrorKind;
use crate::llm::Answer;
use crate::model::Reason;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What the leader brought.
#[derive(Debug, Clone)]
pub enum Landing {
    /// An answer, and it is in the journal.
    Answer(Answer),
    /// No answer for this ask.
    Row(Reason),
    /// No answer for any ask: the kind of the error and what it says.
    Run(ErrorKind, String),
}

type Followers = watch::Sender<Option<Landing>>;

/// Asks in flight by key.
#[derive(Debug, Default)]
pub struct Flights {
    /// Followers are rare, so their channel is made by the first of them.
    open: Mutex<BTreeMap<u128, Option<Followers>>>,
}

/// The place of an ask among its equals.
#[derive(Debug)]
pub enum Seat {
    /// It must be asked; the others wait for this one.
    Lead(Lead),
    /// Wait here.
    Follow(Follow),
}

impl Flights {
    /// A seat for the ask with this key.
    pub fn seat(self: &Arc<Self>, key: u128) -> Seat {
        let mut open = self.lock();
        if let Some(followers) = open.get_mut(&key) {
            let sender = followers.get_or_insert_with(|| watch::channel(None).0);
            return Seat::Follow(Follow { landing: sender.subscribe() });
        }
        open.insert(key, None);
        Seat::Lead(Lead { flights: Arc::clone(self), key, landed: false })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u128, Option<Followers>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seat of the first. Dropped without a landing, one of the others becomes the first.
#[derive(Debug)]
pub struct Lead {
    flights: Arc<Flights>,
    key: u128,
    landed: bool,
}

impl Lead {
    /// Tells the others. `landing` is made only if there are any.
    pub fn land(mut self, landing: impl FnOnce() -> Landing) {
        self.landed = true;
        // Taken out first: whoever comes now finds the answer in the journal.
        if let Some(Some(followers)) = self.flights.lock().remove(&self.key) {
            followers.send_replace(Some(landing()));
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.landed {
            self.flights.lock().remove(&self.key);
        }
    }
}

/// The seat of another.
#[derive(Debug)]
pub struct Follow {
    landing: watch::Receiver<Option<Landing>>,
}

impl Follow {
    /// What the first brought; `None` if it went away without: take a new seat.
    pub async fn wait(mut self) -> Option<Landing> {
        self.landing.wait_for(Option::is_some).await.ok().and_then(|landing| landing.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(seat: Seat) -> Lead {
        match seat {
            Seat::Lead(lead) => lead,
            Seat::Follow(_) => panic!("somebody leads"),
        }
    }

    fn follow(seat: Seat) -> Follow {
        match seat {
            Seat::Follow(follow) => follow,
            Seat::Lead(_) => panic!("nobody leads"),
        }
    }

    #[tokio::test]
    async fn followers_get_what_the_leader_brings() {
        let flights = Arc::new(Flights::default());
        let first = lead(flights.seat(1));
        let (a, b) = (follow(flights.seat(1)), follow(flights.seat(1)));
        let _other = lead(flights.seat(2));
        first.land(|| Landing::Answer(Answer::Text("x".into())));
        for follower in [a, b] {
            let landing = follower.wait().await;
            assert!(matches!(landing, Some(Landing::Answer(Answer::Text(text))) if text == "x"));
        }
        lead(flights.seat(1));
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_leaves_the_lead() {
        let flights = Arc::new(Flights::default());
        let first = lead(flights.seat(1));
        let follower = follow(flights.seat(1));
        drop(first);
        assert!(follower.wait().await.is_none());
        lead(flights.seat(1)).land(|| Landing::Row(Reason::GaveUp));
        assert!(flights.lock().is_empty());
    }
}
