//! A sketch as it travels between workers: shared, never copied inside one process.

use crate::model::{Signature, micros, resemblance};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Node of the duplicate graph: a content id, or another 128-bit hash that stands for one.
pub(crate) type Node = u128;

/// The sketch of a signature, without its band keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sketch(Arc<Signature>);

impl Sketch {
    /// Keeps the sketch, gives back the band keys.
    pub(super) fn split(signature: Signature) -> (Self, Vec<u64>) {
        let Signature { bands, sketch } = signature;
        (Self(Arc::new(Signature { bands: Vec::new(), sketch })), bands)
    }

    /// The estimated Jaccard of two texts in millionths, if it reaches `least`.
    pub(super) fn resembling(&self, other: &Self, least: f64) -> Option<i64> {
        resembling(&self.0.sketch, &other.0.sketch, least)
    }
}

/// As [`Sketch::resembling`], of the bytes of two sketches.
pub(super) fn resembling(one: &[u8], other: &[u8], least: f64) -> Option<i64> {
    let resemblance = resemblance(one, other);
    (resemblance >= least).then(|| micros(resemblance))
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&self.0.sketch, serializer)
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sketch = serde_bytes::deserialize(deserializer)?;
        Ok(Self(Arc::new(Signature { bands: Vec::new(), sketch })))
    }
}
