//! The inner loop of signing, with the widest vectors of the machine.
//!
//! **Why**: baseline x86-64 has no 32-bit multiply for vectors. One body is compiled for several feature sets; all give the
//! same values, as it is integers only.

use std::fmt;

/// A feature set that the loop is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// What every machine of the target has.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F.
    Avx512,
    /// `AArch64` with NEON.
    Neon,
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        })
    }
}

impl Dispatch {
    /// The best one on this machine.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Portable)
    }

    /// Those that run on this machine, the best one last.
    pub fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return &[Self::Portable, Self::Avx2, Self::Avx512];
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                return &[Self::Portable, Self::Avx2];
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return &[Self::Portable, Self::Neon];
        }
        &[Self::Portable]
    }

    /// This one, or the portable one if the machine lacks it.
    pub(super) fn or_portable(self) -> Self {
        if Self::available().contains(&self) { self } else { Self::Portable }
    }

    /// The hash of each shingle in a round; what stands behind the last is undefined. `self` is one of
    /// [`available`](Self::available).
    #[expect(
        unsafe_code,
        reason = "runs code compiled for features that `available` has found on this machine"
    )]
    pub(super) fn hashes<const N: usize>(self, shingles: &[u32], round: u32, hashes: &mut [u32; N]) {
        match self {
            Self::Portable => body(shingles, round, hashes),
            // SAFETY: `available`, from which the caller took this, detected the feature.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(shingles, round, hashes) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(shingles, round, hashes) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon(shingles, round, hashes) },
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => body(shingles, round, hashes),
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon => body(shingles, round, hashes),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const N: usize>(shingles: &[u32], round: u32, hashes: &mut [u32; N]) {
    body(shingles, round, hashes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<const N: usize>(shingles: &[u32], round: u32, hashes: &mut [u32; N]) {
    body(shingles, round, hashes);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon<const N: usize>(shingles: &[u32], round: u32, hashes: &mut [u32; N]) {
    body(shingles, round, hashes);
}

/// A permutation of 32-bit numbers per round: two multiplications between shifts.
#[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
#[inline(always)]
fn body<const N: usize>(shingles: &[u32], round: u32, hashes: &mut [u32; N]) {
    let seed = (round.wrapping_add(1)).wrapping_mul(0x9e37_79b9);
    for (hash, x) in hashes.iter_mut().zip(shingles) {
        let mut mixed = x ^ seed;
        mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x7feb_352d);
        mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
        *hash = mixed ^ (mixed >> 16);
    }
}
