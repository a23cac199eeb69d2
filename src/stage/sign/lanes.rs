//! The inner loop: minima of all shingles under every lane's hash function, with the widest vectors of the machine.
//!
//! **Why**: this loop is lanes × shingles long, and baseline x86-64 has no 32-bit multiply or minimum for vectors. One
//! body is compiled for several feature sets; all give the same values, as it is integers only.

use std::fmt;

/// Lanes that are treated together: their minima stay in registers.
pub(super) const BLOCK: usize = 32;

/// A feature set that the loop is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// What every machine of the target has.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F.
    Avx512,
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
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
        &[Self::Portable]
    }
}

/// The hash functions of all lanes: `x -> a·x + b` modulo 2³², with odd `a`.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    blocks: Vec<Block>,
    dispatch: Dispatch,
}

#[derive(Debug, Clone)]
struct Block {
    a: [u32; BLOCK],
    b: [u32; BLOCK],
}

impl Lanes {
    /// At least `count` lanes, always the same ones.
    pub(super) fn new(count: usize, dispatch: Dispatch) -> Self {
        let mut state = 0x1505_90c4_11ab_5e1f_u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = state;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u32::try_from((x ^ (x >> 31)) >> 32).unwrap_or(0)
        };
        let blocks = (0..count.div_ceil(BLOCK))
            .map(|_| Block { a: std::array::from_fn(|_| next() | 1), b: std::array::from_fn(|_| next()) })
            .collect();
        let dispatch = if Dispatch::available().contains(&dispatch) { dispatch } else { Dispatch::Portable };
        Self { blocks, dispatch }
    }

    /// The minimum of every lane over the shingles.
    #[expect(
        unsafe_code,
        reason = "runs code compiled for features that `available` has found on this machine"
    )]
    pub(super) fn minima(&self, shingles: &[u32], minima: &mut Vec<u32>) {
        minima.clear();
        match self.dispatch {
            Dispatch::Portable => portable(&self.blocks, shingles, minima),
            // SAFETY: `new` took this dispatch from `available`, which detected the feature.
            #[cfg(target_arch = "x86_64")]
            Dispatch::Avx2 => unsafe { avx2(&self.blocks, shingles, minima) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Dispatch::Avx512 => unsafe { avx512(&self.blocks, shingles, minima) },
            #[cfg(not(target_arch = "x86_64"))]
            Dispatch::Avx2 | Dispatch::Avx512 => portable(&self.blocks, shingles, minima),
        }
    }
}

fn portable(blocks: &[Block], shingles: &[u32], minima: &mut Vec<u32>) {
    body(blocks, shingles, minima);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(blocks: &[Block], shingles: &[u32], minima: &mut Vec<u32>) {
    body(blocks, shingles, minima);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(blocks: &[Block], shingles: &[u32], minima: &mut Vec<u32>) {
    body(blocks, shingles, minima);
}

#[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
#[inline(always)]
fn body(blocks: &[Block], shingles: &[u32], minima: &mut Vec<u32>) {
    for Block { a, b } in blocks {
        let mut least = [u32::MAX; BLOCK];
        for x in shingles {
            for ((least, a), b) in least.iter_mut().zip(a).zip(b) {
                *least = (*least).min(a.wrapping_mul(*x).wrapping_add(*b));
            }
        }
        minima.extend_from_slice(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_dispatch_gives_the_minima_of_a_plain_loop(shingles in prop::collection::vec(any::<u32>(), 0..80)) {
            for dispatch in Dispatch::available() {
                let lanes = Lanes::new(100, *dispatch);
                let mut minima = Vec::new();
                lanes.minima(&shingles, &mut minima);
                prop_assert_eq!(minima.len(), 128);
                for (i, least) in minima.iter().enumerate() {
                    let block = &lanes.blocks[i / BLOCK];
                    let (a, b) = (u64::from(block.a[i % BLOCK]), u64::from(block.b[i % BLOCK]));
                    let plain = shingles.iter().map(|x| (a * u64::from(*x) + b) % (1 << 32)).min();
                    prop_assert_eq!(u64::from(*least), plain.unwrap_or(u64::from(u32::MAX)), "{} lane {}", dispatch, i);
                }
            }
        }
    }

    #[test]
    fn lanes_never_change() {
        let lanes = Lanes::new(1, Dispatch::Portable);
        assert_eq!(
            (lanes.blocks[0].a[0], lanes.blocks[0].b[0]),
            (1_202_784_933, 3_087_468_113),
            "pinned: a change renames every cluster"
        );
    }
}
