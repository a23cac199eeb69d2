//! n^α in whole numbers: the same bits on every machine, which `powf` does not promise.

/// Fraction bits of a result.
pub(super) const FRACTION: u32 = 32;

/// n^(α / 1,000,000), with [`FRACTION`] bits after the point, for α in `0..=1_000_000`. Exact for α of 0 and 1,
/// rounded down for 1/2, within 2^-30 of the true value otherwise; never falls as n rises. 0 for n of 0.
pub(super) fn power(n: u64, alpha: u64) -> u128 {
    match alpha {
        _ if n == 0 => 0,
        0 => 1 << FRACTION,
        500_000 => (u128::from(n) << (2 * FRACTION)).isqrt(),
        1_000_000.. => u128::from(n) << FRACTION,
        _ => exp2(log2(n) * u128::from(alpha) / 1_000_000),
    }
}

/// log2 with 48 fraction bits: the number is squared, and whenever it passes 2 the next bit is 1.
fn log2(n: u64) -> u128 {
    let whole = n.ilog2();
    let mut x = u128::from(n) << (63 - whole);
    let mut bits = u128::from(whole);
    for _ in 0..48 {
        x = (x * x) >> 63;
        bits <<= 1;
        if x >= 1 << 64 {
            x >>= 1;
            bits |= 1;
        }
    }
    bits
}

/// 2^x for an x with 48 fraction bits: the product of 2^(1/2), 2^(1/4) and so on where the bits are 1.
fn exp2(x: u128) -> u128 {
    let mut root: u128 = 2 << 62;
    let mut product: u128 = 1 << 62;
    for bit in (0..48).rev() {
        root = (root << 62).isqrt();
        if (x >> bit) & 1 == 1 {
            product = (product * root) >> 62;
        }
    }
    let whole = u32::try_from(x >> 48).unwrap_or(64);
    (product << whole) >> (62 - FRACTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    fn near(n: u64, alpha: u64) -> u128 {
        ((n as f64).powf(alpha as f64 / 1e6) * 2f64.powi(32)) as u128
    }

    proptest! {
        #[test]
        fn powers_are_near_those_of_floats(n in 1..1u64 << 40, alpha in 0..=1_000_000u64) {
            let (exact, float) = (power(n, alpha), near(n, alpha));
            prop_assert!(exact.abs_diff(float) <= (float >> 30) + 2, "{} and {}", exact, float);
        }

        #[test]
        fn powers_do_not_fall(n in 1..1u64 << 32, alpha in 1..1_000_000u64) {
            prop_assert!(power(n, alpha) <= power(n + 1, alpha));
        }
    }

    #[test]
    fn powers_of_two_and_squares_are_exact() {
        assert_eq!(power(0, 500_000), 0);
        assert_eq!(power(144, 500_000), 12 << FRACTION);
        assert_eq!(power(1 << 20, 250_000), 32 << FRACTION);
        assert_eq!(power(7, 1_000_000), 7 << FRACTION);
        assert_eq!(power(7, 0), 1 << FRACTION);
    }
}
