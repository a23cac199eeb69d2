//! What a selecting stage gives back: every row it took, either kept or as a note.

use crate::model::{Epoch, FragmentRow, Note};
use differential_dataflow::VecCollection;

/// The two ways out of a selecting stage. At every epoch in = kept + dropped, by place; both collections are
/// consolidated if the input is, so an update that a later stage sees is a change, never a correction in an epoch.
pub struct Verdicts<'s, R: 'static = FragmentRow> {
    /// Rows that go on.
    pub kept: VecCollection<'s, Epoch, R>,
    /// Rows that end here, and why.
    pub dropped: VecCollection<'s, Epoch, Note>,
}
