//! Row types, ids and verdicts: what flows, and in which order it is told apart.

mod draft;
mod exchange;
mod fragment;
mod lang;
pub(crate) mod normal;
mod note;
mod place;
mod scored;
mod signature;
mod verdict;

pub use draft::{Draft, Drafts, Row, Rows};
pub use exchange::{Bundle, Exchange, Lineage, Weight};
pub use fragment::{ContentId, FragmentId, FragmentRow, Span, content_of, fragment_id, response_of, tick_of};
pub use lang::Lang;
pub use note::Note;
pub use place::{Epoch, Place};
pub use scored::{Scored, Signed};
pub use signature::{Signature, resemblance};
pub use verdict::{Reason, Ruling, Stage, Verdict, micros};
