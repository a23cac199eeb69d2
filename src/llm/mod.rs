//! Models: one trait for every endpoint, and the desk that each stage asks through.

pub mod desk;
pub mod endpoint;

pub use desk::{Desk, Trouble};
pub use endpoint::{
    Answer, Ask, Completion, Endpoint, Finish, Offers, Pending, Refusal, Reply, Role, Token, Usage,
};
