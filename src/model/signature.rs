//! The MinHash signature of a text, as dedup needs it: band keys to meet by, a sketch to verify by.

use serde::{Deserialize, Serialize};

/// Hashes only, never text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// One key per band; texts that share one are candidates.
    pub bands: Vec<u64>,
    /// The low byte of every lane: the share of equal bytes, corrected for chance, estimates Jaccard.
    pub sketch: Vec<u8>,
}

impl Signature {
    /// Estimated Jaccard overlap of two texts, in `0.0..=1.0`: the share of equal sketch bytes, less the
    /// 1/256 that agree by chance. 0 for sketches that are empty or not of one length.
    pub fn resemblance(&self, other: &Self) -> f64 {
        let lanes = self.sketch.len();
        if lanes == 0 || lanes != other.sketch.len() {
            return 0.0;
        }
        let equal = self.sketch.iter().zip(&other.sketch).filter(|(a, b)| a == b).count();
        let share = equal as f64 / lanes as f64;
        ((share - 1.0 / 256.0) / (1.0 - 1.0 / 256.0)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resemblance_is_the_share_of_equal_bytes_less_chance() {
        let of = |sketch: &[u8]| Signature { bands: Vec::new(), sketch: sketch.to_vec() };
        assert!((of(&[1, 2, 3, 4]).resemblance(&of(&[1, 2, 3, 4])) - 1.0).abs() < 1e-12);
        let half = of(&[1, 2, 3, 4]).resemblance(&of(&[1, 2, 9, 9]));
        assert!((half - (0.5 - 1.0 / 256.0) / (255.0 / 256.0)).abs() < 1e-12);
        assert!(of(&[1]).resemblance(&of(&[2])).abs() < 1e-12);
        assert!(of(&[]).resemblance(&of(&[])).abs() < 1e-12);
        assert!(of(&[1]).resemblance(&of(&[1, 1])).abs() < 1e-12);
    }
}
