//! The MinHash signature of a text, as dedup needs it: band keys to meet by, a sketch to verify by.

use serde::{Deserialize, Serialize};

/// Hashes only, never text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// One key per band; texts that share one are candidates.
    pub bands: Vec<u64>,
    /// Four bits of every bin, two bins a byte, the first in the low half; 0 for a bin without a shingle. Equal ones, corrected
    /// for chance, estimate Jaccard.
    #[serde(with = "serde_bytes")]
    pub sketch: Vec<u8>,
}

/// The chance that the four bits of two different shingles are equal: they are in `1..=15`.
const CHANCE: f64 = 1.0 / 15.0;

impl Signature {
    /// The estimated Jaccard of the two texts' shingles, in `0.0..=1.0`: of the bins that either text fills, the share in which
    /// both have the same least shingle (Li, Owen and Zhang 2012, "One permutation hashing", without densification),
    /// corrected for bins that are equal by chance. Symmetric; 0 for sketches of different shapes, or without shingles.
    pub fn resemblance(&self, other: &Self) -> f64 {
        resemblance(&self.sketch, &other.sketch)
    }
}

/// As [`Signature::resemblance`], of two sketches.
pub fn resemblance(one: &[u8], other: &[u8]) -> f64 {
    if one.len() != other.len() {
        return 0.0;
    }
    let Bins { equal, both, either } = bins(one, other);
    if either == 0 {
        return 0.0;
    }
    let equal = (f64::from(equal) - f64::from(both) * CHANCE) / (1.0 - CHANCE);
    (equal / f64::from(either)).clamp(0.0, 1.0)
}

/// How many bins both texts fill equally, both fill, and either fills.
struct Bins {
    equal: u32,
    both: u32,
    either: u32,
}

fn bins(one: &[u8], other: &[u8]) -> Bins {
    let mut bins = Bins { equal: 0, both: 0, either: 0 };
    // Sums of 64 pairs fit a byte, so the inner loop runs on whole vectors of bytes.
    for (one, other) in one.chunks(64).zip(other.chunks(64)) {
        let (mut equal, mut both, mut either) = (0_u8, 0_u8, 0_u8);
        for (a, b) in one.iter().zip(other) {
            for mask in [0x0f, 0xf0] {
                let (filled_a, filled_b) = (u8::from(a & mask != 0), u8::from(b & mask != 0));
                equal += u8::from((a ^ b) & mask == 0) & filled_a;
                both += filled_a & filled_b;
                either += filled_a | filled_b;
            }
        }
        bins.equal += u32::from(equal);
        bins.both += u32::from(both);
        bins.either += u32::from(either);
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sketch: Vec<u8>) -> Signature {
        Signature { bands: Vec::new(), sketch }
    }

    #[test]
    fn resemblance_counts_filled_bins_and_corrects_for_chance() {
        let close = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-12, "{value} {wanted}");
        // Halves of 1..=15 only.
        let full: Vec<u8> = (0..225).map(|i: u8| (i % 15 + 1) | (i / 15 + 1) << 4).collect();
        let one = of(full.clone());
        close(one.resemblance(&one), 1.0);
        // Every low half differs, every high half is equal: a share of one half.
        let half = of(full.iter().map(|byte| byte & 0xf0 | (byte % 16 % 15 + 1)).collect());
        close(one.resemblance(&half), (0.5 - CHANCE) / (1.0 - CHANCE));
        // Bins that one text leaves empty tell them apart and are never equal by chance.
        let fewer = of(full.iter().map(|byte| byte & 0xf0).collect());
        close(one.resemblance(&fewer), 0.5);
        // Bins that both leave empty say nothing.
        close(fewer.resemblance(&fewer), 1.0);
        close(fewer.resemblance(&of(full.iter().map(|byte| byte & 0x0f).collect())), 0.0);
        close(one.resemblance(&of(vec![1])), 0.0);
        close(of(Vec::new()).resemblance(&of(Vec::new())), 0.0);
        close(of(vec![0]).resemblance(&of(vec![0])), 0.0);
    }
}
