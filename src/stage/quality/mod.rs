//! Heuristics of quality: drops what is not prose, with thresholds per language.
//!
//! **Why**: later stages pay per fragment, and a model asked about a list of tags writes a bad exchange. Every check is
//! a number measured on the fragment and a limit from the settings, so that the audit says what failed and by how much.
//! Limits hold for clean prose in 33 languages (`examples` in the changelog of the defaults) and can be set per language.
//! **In** drafts. **Out** the good ones, and a note per dropped one. **State** none. **Faults** none.

mod judge;
mod measure;
mod plain;
mod repeats;
mod settings;
mod stage;
mod stops;

#[cfg(test)]
mod tests;

pub use judge::Judge;
pub use measure::{Meter, Traits};
pub use settings::{QualityLimits, QualityOverride, QualitySettings};
pub use stage::quality;
pub(crate) use stage::retain;
