//! Requests in flight: a limit that grows by one per round of answers and shrinks by a part when the server is busy.
//!
//! **Why**: what a server bears is not known beforehand and changes. Additive increase and multiplicative decrease
//! find it, and one decrease per round is enough: requests sent before it tell nothing new.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// What a decrease leaves.
const LEFT: f64 = 0.7;

/// The seats of one endpoint, given first come, first served.
#[derive(Debug)]
pub struct Window {
    most: f64,
    seats: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The limit, with the part of a seat that has grown so far.
    limit: f64,
    /// Seats that exist, taken or free, less `debt`.
    seats: u32,
    /// Taken seats that are not given back.
    debt: u32,
    /// Decreases so far.
    cuts: u64,
}

impl Window {
    /// A window that starts at its most.
    pub fn new(most: u32) -> Self {
        let most = most.max(1);
        let state = State { limit: f64::from(most), seats: most, debt: 0, cuts: 0 };
        Self { most: f64::from(most), seats: Semaphore::new(most as usize), state: Mutex::new(state) }
    }

    /// Waits for a seat, and gives the mark that [`cut`](Self::cut) wants. The seat goes back by [`leave`](Self::leave).
    pub async fn enter(&self) -> u64 {
        // The semaphore is never closed, so this fails never; a seat too many would be no harm.
        if let Ok(seat) = self.seats.acquire().await {
            seat.forget();
        }
        self.lock().cuts
    }

    /// Gives a seat back.
    pub fn leave(&self) {
        let mut state = self.lock();
        self.free(&mut state);
    }

    /// An answer came: the limit grows by one seat per round.
    pub fn grow(&self) {
        let mut state = self.lock();
        if state.limit >= self.most {
            return;
        }
        state.limit = (state.limit + 1.0 / state.limit).min(self.most);
        while f64::from(state.seats + 1) <= state.limit {
            state.seats += 1;
            self.free(&mut state);
        }
    }

    /// The server was busy for a request that entered at `mark`.
    pub fn cut(&self, mark: u64) {
        let mut state = self.lock();
        if state.cuts != mark {
            return;
        }
        state.cuts += 1;
        state.limit = (state.limit * LEFT).max(1.0);
        while f64::from(state.seats) > state.limit {
            state.seats -= 1;
            state.debt += 1;
        }
        let taken = self.seats.forget_permits(state.debt as usize);
        state.debt -= u32::try_from(taken).unwrap_or(state.debt);
    }

    /// The limit now, in whole seats.
    pub fn limit(&self) -> u32 {
        self.lock().seats
    }

    fn free(&self, state: &mut State) {
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            self.seats.add_permits(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(window: &Window, seats: usize) -> Vec<u64> {
        let mut marks = Vec::new();
        for _ in 0..seats {
            let seat = window.seats.try_acquire().expect("a seat");
            seat.forget();
            marks.push(window.lock().cuts);
        }
        marks
    }

    #[test]
    fn one_round_of_busy_replies_is_one_decrease() {
        let window = Window::new(64);
        let marks = entered(&window, 64);
        for mark in marks {
            window.cut(mark);
            window.leave();
        }
        assert_eq!(window.limit(), 44);
        assert_eq!(window.seats.available_permits(), 44);
    }

    #[test]
    fn answers_bring_the_limit_back_and_no_seat_is_lost() {
        let window = Window::new(10);
        for _ in 0..40 {
            let mark = entered(&window, 1).remove(0);
            window.cut(mark);
            window.leave();
        }
        assert_eq!((window.limit(), window.seats.available_permits()), (1, 1));
        for _ in 0..100 {
            entered(&window, 1);
            window.grow();
            window.leave();
        }
        assert_eq!((window.limit(), window.seats.available_permits()), (10, 10));
    }

    #[test]
    fn a_debt_is_paid_by_seats_that_come_back() {
        let window = Window::new(10);
        let marks = entered(&window, 10);
        window.cut(marks[0]);
        assert_eq!((window.limit(), window.seats.available_permits()), (7, 0));
        for _ in 0..3 {
            window.leave();
        }
        assert_eq!(window.seats.available_permits(), 0);
        window.leave();
        assert_eq!(window.seats.available_permits(), 1);
    }
}
