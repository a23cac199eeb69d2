//! Real models in this process: no server, no key, no network once the files are there.

mod attention;
mod kernel;
mod lanes;
pub mod lid;
mod llama;
mod lm;
mod rows;
mod weights;
