//! Identifies the lang of every fragment.

use crate::model::Lang;

/// Tells the lang of a text.
pub trait Identifier: Send + Sync {
    /// The likeliest lang and its probability; `None` if there is nothing to say. [`Lang::UND`] is a language
    /// that the table of langs does not have.
    fn identify(&self, text: &str) -> Option<(Lang, f32)>;
}
