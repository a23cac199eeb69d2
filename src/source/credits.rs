//! Credits: what a reader may still have in flight. The last stage that holds a row's text gives them back.
//!
//! **Why**: timely bounds nothing by itself. A reader that emits only while it holds credits keeps the text in
//! flight under a setting, whatever the size of the corpus, and costs nothing (the slow stage sets the pace).

use crate::model::Weight;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use timely::scheduling::Activator;

/// The credits of one reader on one worker; shared with the stage that gives them back.
pub struct Credits {
    rows: Cell<i64>,
    bytes: Cell<i64>,
    most_bytes: i64,
    peak_bytes: Cell<i64>,
    wake: RefCell<Option<Activator>>,
}

impl Credits {
    /// Credits for `rows` rows and `bytes` bytes of text.
    pub fn new(rows: u32, bytes: u64) -> Rc<Self> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Rc::new(Self {
            rows: Cell::new(i64::from(rows)),
            bytes: Cell::new(bytes),
            most_bytes: bytes,
            peak_bytes: Cell::new(0),
            wake: RefCell::new(None),
        })
    }

    /// Whether the reader may emit one more batch. The batch may overdraw: one batch is the unit.
    pub fn open(&self) -> bool {
        self.rows.get() > 0 && self.bytes.get() > 0
    }

    /// Takes the credits of an emitted batch.
    pub fn take(&self, weight: Weight) {
        self.rows.set(self.rows.get() - i64::from(weight.rows));
        self.bytes.set(self.bytes.get() - i64::try_from(weight.bytes).unwrap_or(i64::MAX));
        self.peak_bytes.set(self.peak_bytes.get().max(self.most_bytes - self.bytes.get()));
    }

    /// Gives back what a batch held, and wakes the reader.
    pub fn give(&self, weight: Weight) {
        self.rows.set(self.rows.get() + i64::from(weight.rows));
        self.bytes.set(self.bytes.get() + i64::try_from(weight.bytes).unwrap_or(i64::MAX));
        if let Some(wake) = self.wake.borrow().as_ref() {
            wake.activate();
        }
    }

    /// The operator to wake when credits come back.
    pub fn wakes(&self, reader: Activator) {
        *self.wake.borrow_mut() = Some(reader);
    }

    /// The most bytes of text that were in flight at once.
    pub fn peak_bytes(&self) -> u64 {
        u64::try_from(self.peak_bytes.get()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_may_overdraw_and_the_next_waits() {
        let credits = Credits::new(10, 100);
        let weight = Weight { rows: 4, bytes: 150 };
        assert!(credits.open());
        credits.take(weight);
        assert!(!credits.open());
        credits.give(weight);
        assert!(credits.open());
        assert_eq!(credits.peak_bytes(), 150);
    }
}
