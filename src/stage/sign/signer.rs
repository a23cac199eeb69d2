//! Signs texts.

use super::lanes::{Dispatch, Lanes};
use super::settings::SignSettings;
use crate::model::{ContentId, Lang, Signature, content_of};
use crate::stage::glyph::Glyphs;
use crate::stage::shingle::{Shingles, Widths};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Signs texts of one shape.
#[derive(Clone)]
pub struct Signer {
    lanes: Lanes,
    bands: usize,
    rows: usize,
    sketch_lanes: usize,
    widths: Widths,
    glyphs: Glyphs,
}

/// Buffers that are kept from text to text.
#[derive(Default)]
pub struct Scratch {
    normal: String,
    shingles: Shingles,
    minima: Vec<u32>,
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
            lanes: Lanes::new(sketch_lanes.max(bands * rows), dispatch),
            bands,
            rows,
            sketch_lanes,
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
        self.lanes.minima(shingles.of(normal, self.widths, self.glyphs), minima);
        let bands = minima.chunks(self.rows.max(1)).take(self.bands).zip(0..).map(|(rows, index)| {
            band.clear();
            band.extend(rows.iter().flat_map(|lane| lane.to_le_bytes()));
            xxh3_64_with_seed(band, index)
        });
        let bands = bands.collect();
        let sketch = minima.get(..self.sketch_lanes).unwrap_or(minima).chunks(2).map(|pair| match pair {
            [one, other] => nibble(*one) | nibble(*other) << 4,
            _ => 0,
        });
        (content, Signature { bands, sketch: sketch.collect() })
    }
}

/// Four bits of a lane that depend on all of its bits.
fn nibble(lane: u32) -> u8 {
    let mixed = (lane ^ (lane >> 15)).wrapping_mul(0x85eb_ca6b);
    ((mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35) >> 28) as u8
}
