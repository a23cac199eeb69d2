//! Eight floats at a time, with the same bits on every machine.
//!
//! **Why**: an answer is part of a data set's lineage, so it must not depend on the CPU. Both forms below do the
//! same eight fused multiply-adds in the same order: one with AVX2, chosen at run time, one in plain Rust.
#![expect(clippy::inline_always, reason = "an operation that is not inlined loses its CPU features")]

/// Whether this CPU has what [`Wide`] needs.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_wide() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

/// Defines a function that runs a generic one in the best form this CPU has.
macro_rules! by_cpu {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $generic:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) {
                    $generic::<$crate::llm::embedded::lanes::Wide>($($arg),*);
                }
                if $crate::llm::embedded::lanes::has_wide() {
                    #[expect(unsafe_code, reason = "CPU feature dispatch: the features were found")]
                    return unsafe { wide($($arg),*) };
                }
            }
            $generic::<$crate::llm::embedded::lanes::Plain>($($arg),*);
        }
    )*};
}
pub(super) use by_cpu;

/// Eight `f32`.
pub(super) trait Lanes: Copy {
    /// The same value eight times.
    fn splat(value: f32) -> Self;
    /// Eight values.
    fn load(from: &[f32; 8]) -> Self;
    /// Eight codes, as numbers.
    fn widen(from: [u8; 8]) -> Self;
    /// Over eight values.
    fn store(self, into: &mut [f32; 8]);
    /// `self × by + plus`, rounded once.
    fn fma(self, by: Self, plus: Self) -> Self;
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self − other`.
    fn sub(self, other: Self) -> Self;
    /// `self × other`.
    fn mul(self, other: Self) -> Self;
    /// `self ÷ other`.
    fn div(self, other: Self) -> Self;
    /// The lesser of the two.
    fn min(self, other: Self) -> Self;
    /// The greater of the two.
    fn max(self, other: Self) -> Self;
    /// `2^n`, if `self` is `n + 1.5 × 2^23` for an `n` from −126 to 127.
    fn power(self) -> Self;
    /// The sum of all lanes: halves first, then neighbours.
    fn sum(self) -> f32;

    /// `e^self`, within 2 units in the last place; clamped to 88 in size.
    #[inline(always)]
    fn exp(self) -> Self {
        const MAGIC: f32 = 12_582_912.0;
        let x = self.min(Self::splat(88.0)).max(Self::splat(-87.0));
        let shifted = x.fma(Self::splat(std::f32::consts::LOG2_E), Self::splat(MAGIC));
        let n = shifted.sub(Self::splat(MAGIC));
        let r = n.fma(Self::splat(-0.693_359_4), x);
        let r = n.fma(Self::splat(2.121_944_4e-4), r);
        let p = Self::splat(1.987_569_1e-4);
        let p = p.fma(r, Self::splat(1.398_2e-3));
        let p = p.fma(r, Self::splat(8.333_452e-3));
        let p = p.fma(r, Self::splat(4.166_579_6e-2));
        let p = p.fma(r, Self::splat(1.666_666_5e-1));
        let p = p.fma(r, Self::splat(5e-1));
        let p = p.fma(r.mul(r), r.add(Self::splat(1.0)));
        p.mul(shifted.power())
    }
}

/// The plain form.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Plain {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(from: &[f32; 8]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn widen(from: [u8; 8]) -> Self {
        Self(from.map(f32::from))
    }
    #[inline(always)]
    fn store(self, into: &mut [f32; 8]) {
        *into = self.0;
    }
    #[inline(always)]
    fn fma(self, by: Self, plus: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(by.0[i], plus.0[i])))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn power(self) -> Self {
        Self(self.0.map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(0x3f80_0000))))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let [lower, upper] = [0, 4].map(|i| [self.0[i], self.0[i + 1], self.0[i + 2], self.0[i + 3]]);
        let [a, b, c, d]: [f32; 4] = std::array::from_fn(|i| lower[i] + upper[i]);
        (a + b) + (c + d)
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::Wide;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "CPU feature dispatch: only entry points that found AVX2 and FMA use this type"
)]
mod wide {
    use super::Lanes;
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_cvtss_f32, _mm_hadd_ps, _mm_loadl_epi64, _mm256_add_epi32, _mm256_add_ps,
        _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cvtepi32_ps,
        _mm256_cvtepu8_epi32, _mm256_div_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32,
        _mm256_storeu_ps, _mm256_sub_ps,
    };

    /// The form with AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Wide(__m256);

    impl Lanes for Wide {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(value)) }
        }
        #[inline(always)]
        fn load(from: &[f32; 8]) -> Self {
            unsafe { Self(_mm256_loadu_ps(from.as_ptr())) }
        }
        #[inline(always)]
        fn widen(from: [u8; 8]) -> Self {
            unsafe { Self(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast())))) }
        }
        #[inline(always)]
        fn store(self, into: &mut [f32; 8]) {
            unsafe { _mm256_storeu_ps(into.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn fma(self, by: Self, plus: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, by.0, plus.0)) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            unsafe { Self(_mm256_div_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            unsafe { Self(_mm256_min_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn power(self) -> Self {
            unsafe {
                let bits = _mm256_slli_epi32::<23>(_mm256_castps_si256(self.0));
                Self(_mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f80_0000))))
            }
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_hadd_ps(four, four);
                _mm_cvtss_f32(_mm_hadd_ps(two, two))
            }
        }
    }
}
