//! Delete-only cleaning: which lines of a page are text, and which are menus, notices, comments and footers.
//!
//! **Why**: a response must be byte ranges of its source, so nothing is rewritten, only whole lines left out. What
//! a line is shows mostly in its shape (separators, no sentence end, short, in lists, at the edges of the page),
//! which no language owns; short phrase lists (`phrases`) add what shape cannot tell.

mod find;
mod line;
mod page;
mod phrases;

pub use line::{Kind, Line};
pub use page::Cleaner;
pub(crate) use page::is_dense;
pub use phrases::Phrases;
