//! What an endpoint may be asked at once and per minute, and how it fares: one limiter per endpoint and process.
//!
//! **Why**: an endpoint's limits are its own, whatever role or worker asks. Turns are given first come, first
//! served; a busy server is asked by fewer at once until it answers again, and a server that is away is waited for.

pub mod gate;
pub mod health;
pub mod pace;
pub mod window;

pub use gate::{Limiter, Limits, Turn};
