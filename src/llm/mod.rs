//! Models: one trait for every endpoint, and the desk that each stage asks through.

pub mod budget;
pub mod consult;
pub mod desk;
pub mod embedded;
pub mod endpoint;
pub mod http;
pub mod journal;
pub mod key;
pub mod limiter;
pub mod models;
pub mod money;
pub mod prompt;
#[doc(hidden)]
pub mod scripted;
pub mod tokens;

pub use desk::{Desk, Trouble};
pub use endpoint::{
    Answer, Ask, Completion, Endpoint, Finish, Offers, Pending, Refusal, Reply, Role, Token, Usage,
};
