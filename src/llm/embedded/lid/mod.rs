//! Language identification with the fastText model `lid.176` (176 labels, Joulin et al. 2016), in its quantized form.
//!
//! **Why our own kernel**: every fragment is identified, and a general fastText library took four tenths of the front's
//! time. This one does the same sums in the same order over rows that are unpacked once, allocates nothing per text and
//! gives the same labels and probabilities to the last bit, which its tests hold against that library.

mod file;
mod labels;
mod ngrams;
mod table;
mod words;

use crate::error::{Error, Result};
use crate::model::Lang;
use crate::stage::identify::Identifier;
use labels::Labels;
use std::path::Path;
use words::Words;

/// The width of the model's vectors.
const DIM: usize = 16;

/// A row, or a sum of them.
type Vector = [f32; DIM];

/// The model, loaded once and shared by every worker.
#[derive(Debug)]
pub struct Lid {
    words: Words,
    labels: Labels,
}

impl Lid {
    /// Loads the model file.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the file is away or is no model of this shape:
    /// fastText version 12, supervised, quantized rows of 16, hierarchical softmax, no word n-grams.
    pub fn open(path: &Path) -> Result<Self> {
        let away = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(format!("language model unreadable: path={}", path.display())).because(cause)
        };
        let bytes = std::fs::read(path).map_err(|cause| away(cause.into()))?;
        file::parse(&bytes).map_err(|cause| away(cause.into()))
    }

    /// The likeliest label, as `pt`, and its probability; `None` if nothing in the text has a row.
    pub fn label_of(&self, text: &str) -> Option<(&str, f32)> {
        Some(self.labels.likeliest(&self.words.mean_of(text)?))
    }
}

impl Identifier for Lid {
    fn identify(&self, text: &str) -> Option<(Lang, f32)> {
        let (label, probability) = self.label_of(text)?;
        Some((Lang::from_lid(label).unwrap_or(Lang::UND), probability))
    }
}

#[cfg(test)]
mod tests;
