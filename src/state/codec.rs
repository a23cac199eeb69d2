//! Rows as bytes whose order is theirs.
//!
//! **Why**: a run compares bytes. Numbers stand with their greatest byte first, so comparing bytes compares rows; and a
//! place names its shard by a label that lasts, not by its position in the list of one run.

use crate::error::{Error, Result};
use crate::model::{FragmentRow, Lang, Place, Scored, Signature};
use std::sync::Arc;

/// Bytes of a place.
pub(crate) const PLACE: usize = 12;
/// Bytes of a fragment: place, lang, tick, content.
pub(crate) const FRAGMENT: usize = PLACE + 2 + 8 + 16;

/// Labels of shards: ascending as their keys do, with room between them for shards that come later.
///
/// A run numbers its shards by the order of their keys; the labels of the state stay, whatever comes between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    labels: Arc<[u32]>,
}

impl Labels {
    /// By position in the run; ascending.
    pub(crate) fn new(labels: Vec<u32>) -> Self {
        debug_assert!(labels.is_sorted_by(|a, b| a < b), "labels ascend");
        Self { labels: labels.into() }
    }

    /// Of a run whose positions are its labels: for tests and benches.
    pub(crate) fn plain(shards: u32) -> Self {
        Self::new((0..shards).collect())
    }

    fn label(&self, position: u32) -> u32 {
        self.labels.get(position as usize).copied().unwrap_or(u32::MAX)
    }

    fn position(&self, label: u32) -> u32 {
        self.labels.binary_search(&label).map_or(u32::MAX, |at| u32::try_from(at).unwrap_or(u32::MAX))
    }
}

/// How a signature is laid out: every one of a state has the same shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The most band keys.
    pub(crate) bands: usize,
    /// Bytes of a sketch.
    pub(crate) sketch: usize,
}

impl Shape {
    /// Bytes of a signature.
    pub(crate) fn width(self) -> usize {
        if self.bands + self.sketch == 0 { 0 } else { 2 + 8 * self.bands + self.sketch }
    }

    /// Writes a signature.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it has another shape.
    pub(crate) fn put(self, signature: &Signature, out: &mut Vec<u8>) -> Result<()> {
        if self.width() == 0 {
            return Ok(());
        }
        let Signature { bands, sketch } = signature;
        let count = u16::try_from(bands.len()).unwrap_or(u16::MAX);
        if bands.len() > self.bands || sketch.len() != self.sketch {
            return Err(Error::bug(format!(
                "signature of another shape: bands={}, sketch={}, shape={self:?}",
                bands.len(),
                sketch.len()
            )));
        }
        let end = out.len() + self.width();
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(sketch);
        bands.iter().for_each(|band| out.extend_from_slice(&band.to_be_bytes()));
        out.resize(end, 0);
        Ok(())
    }

    /// Reads a signature.
    pub(crate) fn take(self, bytes: &mut &[u8]) -> Signature {
        if self.width() == 0 {
            return Signature::default();
        }
        let count = usize::from(u16::from_be_bytes(take(bytes)));
        let sketch = part(bytes, self.sketch).to_vec();
        let keys = part(bytes, 8 * self.bands);
        let bands = keys
            .chunks_exact(8)
            .take(count)
            .map(|key| u64::from_be_bytes(key.try_into().unwrap_or_default()));
        Signature { bands: bands.collect(), sketch }
    }
}

/// The next bytes.
pub(crate) fn part<'a>(bytes: &mut &'a [u8], many: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at_checked(many).unwrap_or((&[], &[]));
    *bytes = rest;
    front
}

/// The next bytes, as an array.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    part(bytes, N).try_into().unwrap_or([0; N])
}

/// Rows with labels of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Codec {
    labels: Labels,
}

impl Codec {
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels }
    }

    /// The label of a shard, first byte first: what all places of the shard begin with.
    pub(crate) fn shard(&self, position: u32) -> [u8; 4] {
        self.labels.label(position).to_be_bytes()
    }

    pub(crate) fn put_place(&self, place: Place, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shard(place.shard));
        out.extend_from_slice(&place.row.to_be_bytes());
        out.extend_from_slice(&place.start.to_be_bytes());
    }

    pub(crate) fn place(&self, bytes: &mut &[u8]) -> Place {
        let shard = self.labels.position(u32::from_be_bytes(take(bytes)));
        Place { shard, row: u32::from_be_bytes(take(bytes)), start: u32::from_be_bytes(take(bytes)) }
    }

    /// By lang, tick, place: the order of samples.
    pub(crate) fn put_by_tick(&self, row: &FragmentRow, out: &mut Vec<u8>) {
        put_lang(row.lang, out);
        out.extend_from_slice(&row.tick.to_be_bytes());
        self.put_place(row.place, out);
        out.extend_from_slice(&row.content.to_be_bytes());
    }

    pub(crate) fn by_tick(&self, bytes: &mut &[u8]) -> FragmentRow {
        let lang = lang(bytes);
        let tick = u64::from_be_bytes(take(bytes));
        let place = self.place(bytes);
        FragmentRow { place, lang, content: u128::from_be_bytes(take(bytes)), tick }
    }

    /// Best first: by score from high to low, tick, place; then what else there is of it.
    ///
    /// # Errors
    /// As [`Shape::put`].
    pub(crate) fn put_best_first(&self, scored: &Scored, shape: Shape, out: &mut Vec<u8>) -> Result<()> {
        let Scored { row, score, cell, asked, asked_signature } = scored;
        out.extend_from_slice(&falling(*score).to_be_bytes());
        out.extend_from_slice(&row.tick.to_be_bytes());
        self.put_place(row.place, out);
        put_lang(row.lang, out);
        out.extend_from_slice(&row.content.to_be_bytes());
        out.extend_from_slice(&cell.to_be_bytes());
        out.extend_from_slice(&asked.to_be_bytes());
        shape.put(asked_signature, out)
    }

    pub(crate) fn best_first(&self, shape: Shape, bytes: &mut &[u8]) -> Scored {
        let score = rising(u64::from_be_bytes(take(bytes)));
        let tick = u64::from_be_bytes(take(bytes));
        let place = self.place(bytes);
        let lang = lang(bytes);
        let content = u128::from_be_bytes(take(bytes));
        let cell = u32::from_be_bytes(take(bytes));
        let asked = u128::from_be_bytes(take(bytes));
        let asked_signature = shape.take(bytes);
        Scored { row: FragmentRow { place, lang, content, tick }, score, cell, asked, asked_signature }
    }
}

/// Bytes of the rank of a scored exchange: score, tick, place.
pub(crate) const RANK: usize = 8 + 8 + PLACE;

/// Bytes of a scored exchange with a signature of this shape.
pub(crate) fn scored_width(shape: Shape) -> usize {
    RANK + 2 + 16 + 4 + 16 + shape.width()
}

/// A score such that greater ones come first.
fn falling(score: i64) -> u64 {
    !(score.cast_unsigned() ^ (1 << 63))
}

fn rising(bits: u64) -> i64 {
    (!bits ^ (1 << 63)).cast_signed()
}

pub(crate) fn put_lang(lang: Lang, out: &mut Vec<u8>) {
    out.extend_from_slice(&lang.index().to_be_bytes());
}

pub(crate) fn lang(bytes: &mut &[u8]) -> Lang {
    Lang::of_index(u16::from_be_bytes(take(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signature() -> impl Strategy<Value = Signature> {
        (prop::collection::vec(any::<u64>(), 0..3), prop::collection::vec(any::<u8>(), 4))
            .prop_map(|(bands, sketch)| Signature { bands, sketch })
    }

    fn scored() -> impl Strategy<Value = Scored> {
        let place =
            (0..3u32, any::<u32>(), any::<u32>()).prop_map(|(shard, row, start)| Place { shard, row, start });
        let row = (place, any::<u128>(), 0..3u64, 0..4usize).prop_map(|(place, content, tick, lang)| {
            FragmentRow { place, lang: Lang::all().nth(lang).expect("more than four"), content, tick }
        });
        (row, prop_oneof![-2..3i64, any::<i64>()], any::<u32>(), any::<u128>(), signature()).prop_map(
            |(row, score, cell, asked, asked_signature)| Scored { row, score, cell, asked, asked_signature },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_and_their_bytes_have_their_order(a in scored(), b in scored()) {
            let codec = Codec::new(Labels::new(vec![7, 70_000, u32::MAX - 1]));
            let shape = Shape { bands: 2, sketch: 4 };
            let bytes = |scored: &Scored| {
                let (mut ranked, mut ticked) = (Vec::new(), Vec::new());
                codec.put_best_first(scored, shape, &mut ranked).expect("of this shape");
                codec.put_by_tick(&scored.row, &mut ticked);
                (ranked, ticked)
            };
            let (of_a, of_b) = (bytes(&a), bytes(&b));
            prop_assert_eq!(of_a.0.len(), scored_width(shape));
            prop_assert_eq!(of_a.1.len(), FRAGMENT);
            prop_assert_eq!(&codec.best_first(shape, &mut of_a.0.as_slice()), &a);
            prop_assert_eq!(&codec.by_tick(&mut of_a.1.as_slice()), &a.row);
            let rank = |row: &Scored| (std::cmp::Reverse(row.score), row.row.tick, row.row.place);
            if rank(&a) != rank(&b) {
                prop_assert_eq!(of_a.0.cmp(&of_b.0), rank(&a).cmp(&rank(&b)));
            }
            let tick = |row: &Scored| (row.row.lang, row.row.tick, row.row.place);
            if tick(&a) != tick(&b) {
                prop_assert_eq!(of_a.1.cmp(&of_b.1), tick(&a).cmp(&tick(&b)));
            }
        }
    }
}
