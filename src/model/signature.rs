//! The MinHash signature of a text, as dedup needs it: band keys to meet by, a sketch to verify by.

use serde::{Deserialize, Serialize};

/// Hashes only, never text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// One key per band; texts that share one are candidates.
    pub bands: Vec<u64>,
    /// Four bits of every lane, two lanes a byte: the share of equal ones, corrected for chance, estimates Jaccard.
    pub sketch: Vec<u8>,
}

/// The chance that four bits of two different lanes are equal.
const CHANCE: f64 = 1.0 / 16.0;

impl Signature {
    /// The estimated Jaccard of the two texts' shingles, in `0.0..=1.0`: the share of equal lanes, corrected for lanes that
    /// are equal by chance (Li and König 2010). Symmetric; 0 for sketches of different shapes, or without lanes.
    pub fn resemblance(&self, other: &Self) -> f64 {
        if self.sketch.len() != other.sketch.len() || self.sketch.is_empty() {
            return 0.0;
        }
        let equal = equal_lanes(&self.sketch, &other.sketch);
        let share = f64::from(equal) / (2 * self.sketch.len()) as f64;
        ((share - CHANCE) / (1.0 - CHANCE)).clamp(0.0, 1.0)
    }
}

/// How many half bytes are equal.
#[expect(clippy::verbose_bit_mask, reason = "counting zeros does not become vector code")]
fn equal_lanes(one: &[u8], other: &[u8]) -> u32 {
    let equal = |different: u8| u8::from(different & 0x0f == 0) + u8::from(different & 0xf0 == 0);
    // Sums of 64 pairs fit a byte, so the inner loop runs on whole vectors of bytes.
    one.chunks(64)
        .zip(other.chunks(64))
        .map(|(one, other)| u32::from(one.iter().zip(other).map(|(a, b)| equal(a ^ b)).sum::<u8>()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sketch: Vec<u8>) -> Signature {
        Signature { bands: Vec::new(), sketch }
    }

    #[test]
    fn resemblance_counts_half_bytes_and_corrects_for_chance() {
        let one = of((0..=255).collect());
        assert!((one.resemblance(&one) - 1.0).abs() < 1e-12);
        // Every low half differs, every high half is equal: a share of one half.
        let half = of((0..=255).map(|byte: u8| byte ^ 1).collect());
        assert!((one.resemblance(&half) - (0.5 - CHANCE) / (1.0 - CHANCE)).abs() < 1e-12);
        let other = of((0..=255).map(|byte: u8| byte ^ 0x11).collect());
        assert!(one.resemblance(&other).abs() < 1e-12);
        assert!(one.resemblance(&of(vec![1])).abs() < 1e-12);
        assert!(of(Vec::new()).resemblance(&of(Vec::new())).abs() < 1e-12);
    }
}
