//! One stage per file: a pure decision, thin wiring, a contract on top.

pub mod clean;
pub mod clerk;
pub mod dedup;
pub mod embed;
pub mod gates;
pub mod glyph;
pub mod identify;
pub mod instruct;
pub mod localize;
pub mod near_instruction;
pub mod quality;
pub mod quota;
pub mod read;
pub mod reread;
pub mod sample;
pub mod score;
pub mod segment;
pub mod shingle;
pub mod sign;
pub mod threshold;
pub mod translate;

pub use clerk::Clerk;
