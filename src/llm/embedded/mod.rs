//! Real models in this process: no server, no key, no network once the files are there.

mod attention;
mod bergamot;
mod embedder;
pub mod endpoint;
mod kernel;
mod lanes;
pub mod lid;
mod llama;
mod lm;
mod pool;
mod rows;
mod sentences;
mod translator;
mod weights;

pub use endpoint::Embedded;
