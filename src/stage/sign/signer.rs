//! Signs texts.

use super::bins::{Bins, Minima};
use super::dispatch::Dispatch;
use super::settings::SignSettings;
use crate::model::{ContentId, Lang, Signature, content_of};
use crate::stage::glyph::Glyphs;
use crate::stage::shingle::{Shingles, Widths};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Signs texts of one shape.
#[derive(Clone)]
pub struct Signer {
    bins: Bins,
    rows: usize,
    widths: Widths,
    glyphs: Glyphs,
}

/// Buffers that are kept from text to text.
#[derive(Default)]
pub struct Scratch {
    normal: String,
    shingles: Shingles,
    minima: Minima,
    band: Vec<u8>,
}

impl Signer {
    /// A signer of this shape. Ranges are the business of [`SignSettings::check`].
    pub fn new(settings: &SignSettings) -> Self {
        Self::with(settings, Dispatch::best())
    }

    /// A signer that runs one feature set; signatures are the same with all of them. One that the machine lacks is replaced
    /// by the portable one.
    pub fn with(settings: &SignSettings, dispatch: Dispatch) -> Self {
        let SignSettings { bands, rows, sketch_lanes, shingle_words, shingle_chars } = *settings;
        Self {
            bins: Bins::new(bands * rows, sketch_lanes, dispatch),
            rows,
            widths: Widths { words: shingle_words, chars: shingle_chars },
            glyphs: Glyphs::get(),
        }
    }

    /// The signature of a text. Equal normal forms have equal signatures; the script of each run of characters decides
    /// how it is cut, not the lang.
    pub fn sign(&self, text: &str, lang: Lang, scratch: &mut Scratch) -> Signature {
        self.sign_content(text, lang, scratch).1
    }

    /// The content id of a text and its signature: both are taken from one normal form.
    pub fn sign_content(&self, text: &str, _lang: Lang, scratch: &mut Scratch) -> (ContentId, Signature) {
        let Scratch { normal, shingles, minima, band } = scratch;
        let content = content_of(text, normal);
        self.bins.fill(shingles.of(normal, self.widths, self.glyphs), minima);
        let bands = minima.lanes.chunks(self.rows.max(1)).zip(0..).map(|(rows, index)| {
            band.clear();
            rows.iter().for_each(|lane| band.extend_from_slice(&lane.to_le_bytes()));
            xxh3_64_with_seed(band, index)
        });
        let bands = bands.collect();
        self.bins.dispatch().nibbles(&mut minima.sketch);
        // An even number of lanes.
        let (pairs, _) = minima.sketch.as_chunks::<2>();
        let sketch = pairs.iter().map(|[one, other]| (one | other << 4).to_le_bytes()[0]);
        (content, Signature { bands, sketch: sketch.collect() })
    }
}
