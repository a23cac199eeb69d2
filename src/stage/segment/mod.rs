//! Cuts a document into fragments: self-contained stretches of text that can answer a request.
//!
//! **Why**: sections, then paragraphs, then sentences are merged up to a target length, so that a fragment starts where
//! a thought starts and ends where a sentence ends. A fragment is byte ranges of its row, in order and without overlap;
//! left-out lines ([`clean`](super::clean)) lie between them. The second reading cuts again by the same function.
//! **In** rows. **Out** drafts, and a note per row that gives none. **State** none. **Faults** none.

mod cut;
pub(crate) mod sentence;
mod settings;
mod stage;

#[cfg(test)]
mod tests;

pub use cut::Segmenter;
pub use settings::SegmentSettings;
pub(crate) use stage::through;
pub use stage::{drafts_of, segment};
