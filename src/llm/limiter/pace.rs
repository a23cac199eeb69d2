//! A rate per minute, kept by one number: when the next turn would be due if all kept to the rate.
//!
//! **Why**: windows that count requests per calendar minute let two minutes' worth pass at their border; this
//! form (GCRA) never lets more than the rate and one second of it pass in any minute, and needs no timer.

/// How far ahead of the rate turns may be, in seconds.
const AHEAD: f64 = 1.0;

/// A rate. Times are seconds on any clock that does not run backwards.
#[derive(Debug, Clone)]
pub struct Pace {
    seconds_per_unit: f64,
    due: f64,
}

impl Pace {
    /// A rate of `units` in a minute.
    pub fn per_minute(units: f64) -> Self {
        Self { seconds_per_unit: 60.0 / units.max(f64::MIN_POSITIVE), due: 0.0 }
    }

    /// Takes `cost` units, and says how many seconds from `now` their turn is.
    pub fn take(&mut self, now: f64, cost: f64) -> f64 {
        let wait = (self.due - AHEAD - now).max(0.0);
        self.due = self.due.max(now) + cost * self.seconds_per_unit;
        wait
    }

    /// Corrects what a turn has cost by `units`, which may be negative.
    pub fn correct(&mut self, units: f64) {
        self.due += units * self.seconds_per_unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_than_the_rate_and_a_second_of_it() {
        let mut pace = Pace::per_minute(120.0);
        let mut now = 0.0;
        let mut turns = Vec::new();
        for i in 0..1000 {
            // Askers come in bursts, with pauses between.
            if i % 100 == 0 {
                now += 7.0;
            }
            turns.push(now + pace.take(now, 1.0));
        }
        assert!(turns.is_sorted());
        for start in &turns {
            let inside = turns.iter().filter(|turn| (*start..start + 60.0).contains(*turn)).count();
            assert!(inside <= 123, "{inside} turns in a minute");
        }
        assert!(turns.last().expect("turns") < &520.0, "slower than the rate");
    }

    #[test]
    fn a_correction_moves_the_next_turn() {
        let mut pace = Pace::per_minute(60.0);
        assert!(pace.take(0.0, 10.0).abs() < 1e-9);
        pace.correct(-8.0);
        assert!((pace.take(0.0, 1.0) - 1.0).abs() < 1e-9);
        pace.correct(10.0);
        assert!((pace.take(0.0, 1.0) - 12.0).abs() < 1e-9);
    }
}
