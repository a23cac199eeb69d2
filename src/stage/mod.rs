//! One stage per file: a pure decision, thin wiring, a contract on top.

mod by_key;
#[cfg(test)]
mod canaries;
pub mod clean;
pub mod clerk;
pub mod codebook;
mod cut;
pub mod dedup;
pub(crate) mod differing;
pub mod durable;
pub mod embed;
mod ending;
pub mod excerpt;
pub mod gates;
pub(crate) mod gather;
pub mod glyph;
pub mod identify;
pub mod instruct;
pub(crate) mod ledger;
pub mod localize;
pub mod near_instruction;
pub(crate) mod pieces;
pub mod quality;
pub mod quota;
mod ranked;
pub mod read;
pub(crate) mod reparts;
pub mod reread;
pub mod reuse;
pub mod sample;
pub mod score;
pub mod segment;
pub mod select;
pub mod settle;
mod shares;
pub mod shingle;
pub mod sign;
#[cfg(test)]
mod testing;
pub mod threshold;
pub mod translate;
pub mod verdicts;
mod within;

pub use clerk::Clerk;
pub(crate) use within::within;
