//! Tempered quota per cell.
//!
//! **Why**: a corpus repeats its favourite subjects; a set to train on should not. Of n exchanges in a cell about
//! λ · n^α are kept, so large cells give up more than small ones; λ is what makes the lang reach its target.
//! **In** scored exchanges with their cell, may retract. **Out** the best of each cell by (score, tick, place); the
//! others are dropped as `cell_full`, value 0, and those under the floor as `low_score`, value = the score.
//! **State** `quota/cells`: a count per cell; see `shares` for the rest. **Faults** none.

mod apportion;
mod cells;
mod power;
mod settings;

pub use cells::quota;
pub(crate) use cells::quota_durable;
pub use settings::QuotaSettings;
