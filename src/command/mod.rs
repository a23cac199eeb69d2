//! What each command of the terminal does: flags to settings to one dataflow to a report.

pub mod bench;
pub mod check;
pub mod codebook;
pub mod crew;
pub mod dedup;
pub mod interrupt;
pub mod join;
pub mod journal;
pub mod models;
pub mod plan;
pub mod quickstart;
pub mod run;
pub mod settings;
pub mod show;
pub mod state;
pub mod terminal;
pub mod verify;
