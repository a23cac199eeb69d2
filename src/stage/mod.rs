//! One stage per file: a pure decision, thin wiring, a contract on top.

pub mod clerk;

pub use clerk::Clerk;
