//! The inner loops of signing, with the widest vectors of the machine.
//!
//! **Why**: baseline x86-64 has no 32-bit multiply for vectors. Each body is compiled for several feature sets; all give the
//! same values, as they are integers only.

use super::bins::EMPTY;
use std::fmt;

/// A feature set that the loops are compiled for.
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
}

/// A method of [`Dispatch`] that runs a body, compiled for each feature set. `self` is one of [`available`](Dispatch::available).
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*), $body:ident) => {
        impl Dispatch {
            $(#[$doc])*
            #[expect(
                unsafe_code,
                reason = "runs code compiled for features that `available` has found on this machine"
            )]
            pub(super) fn $name(self, $($argument: $type),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    $body($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f")]
                fn avx512($($argument: $type),*) {
                    $body($($argument),*);
                }
                #[cfg(target_arch = "aarch64")]
                #[target_feature(enable = "neon")]
                fn neon($($argument: $type),*) {
                    $body($($argument),*);
                }
                match self {
                    Self::Portable => $body($($argument),*),
                    // SAFETY: `available`, from which the caller took this, detected the feature.
                    #[cfg(target_arch = "x86_64")]
                    Self::Avx2 => unsafe { avx2($($argument),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Self::Avx512 => unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "aarch64")]
                    Self::Neon => unsafe { neon($($argument),*) },
                    #[cfg(not(target_arch = "x86_64"))]
                    Self::Avx2 | Self::Avx512 => $body($($argument),*),
                    #[cfg(not(target_arch = "aarch64"))]
                    Self::Neon => $body($($argument),*),
                }
            }
        }
    };
}

dispatched!(
    /// The hash of each shingle in a round, for as many as both have.
    hashes(shingles: &[u32], round: u32, hashes: &mut [u32]), permuted
);

dispatched!(
    /// Puts one of `1..=15` that depends on all bits of a rank into its place; 0 for an empty lane.
    nibbles(ranks: &mut [u32]), sketched
);

/// A permutation of 32-bit numbers per round: two multiplications between shifts.
#[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
#[inline(always)]
fn permuted(shingles: &[u32], round: u32, hashes: &mut [u32]) {
    let seed = (round.wrapping_add(1)).wrapping_mul(0x9e37_79b9);
    for (hash, x) in hashes.iter_mut().zip(shingles) {
        let mut mixed = x ^ seed;
        mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x7feb_352d);
        mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
        *hash = mixed ^ (mixed >> 16);
    }
}

/// Mixes a rank and takes it as a share of 15: the high half of a product, in two steps that fit 32 bits.
#[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
#[inline(always)]
fn sketched(ranks: &mut [u32]) {
    for rank in ranks {
        let mut mixed = (*rank ^ (*rank >> 15)).wrapping_mul(0x85eb_ca6b);
        mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
        let among_15 = ((mixed >> 16) * 15 + (((mixed & 0xffff) * 15) >> 16)) >> 16;
        *rank = if *rank == EMPTY { 0 } else { among_15 + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_dispatch_gives_the_nibbles_of_wide_numbers(
            ranks in prop::collection::vec(prop_oneof![any::<u32>(), Just(EMPTY), u32::MAX - 9..=u32::MAX], 0..150),
        ) {
            let low = |x: u128| x % (1 << 32);
            let nibble = |rank: &u32| {
                let rank = u128::from(*rank);
                let once = low((rank ^ (rank >> 15)) * 0x85eb_ca6b);
                let twice = low((once ^ (once >> 13)) * 0xc2b2_ae35);
                if rank == u128::from(EMPTY) { 0 } else { twice * 15 / (1 << 32) + 1 }
            };
            let expected: Vec<u128> = ranks.iter().map(nibble).collect();
            for dispatch in Dispatch::available() {
                let mut nibbles = ranks.clone();
                dispatch.nibbles(&mut nibbles);
                prop_assert_eq!(nibbles.into_iter().map(u128::from).collect::<Vec<_>>(), &expected[..], "{}", dispatch);
            }
        }
    }
}
