//! Endpoints over HTTP: OpenAI-compatible chat, completions and embeddings; translation by `LibreTranslate` and apertium-apy.
//!
//! **Why**: nearly every server and provider speaks one of these. What a server says is hostile: replies are bounded,
//! parsed strictly, and sorted by what to do next; a redirect is never followed, so a key goes nowhere else.

mod base64;
pub mod batch;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod endpoint;
pub mod retry_after;
pub mod status;
pub mod translate;
pub mod wire;

pub use batch::BatchEndpoint;
pub use endpoint::HttpEndpoint;
