//! How many exchanges each cell may keep: an exact function of the counts.

use super::power::{FRACTION, power};

/// Quotas q = min(n, ⌊λ · n^α⌋) for the largest λ whose sum does not pass the target. What is then left of the
/// target goes, one each, to the cells that the next λ would raise, in the order of `counts`; so the sum is the
/// target, or everything where there is less. λ is searched in fixed point: no float takes part.
pub(super) fn apportion(target: u64, counts: &[u64], alpha: u64) -> Vec<u64> {
    if counts.iter().map(|n| u128::from(*n)).sum::<u128>() <= u128::from(target) {
        return counts.to_vec();
    }
    let weights: Vec<u128> = counts.iter().map(|n| power(*n, alpha)).collect();
    let quotas = |lambda: u128| {
        counts.iter().zip(&weights).map(move |(n, weight)| {
            u64::try_from((lambda * weight) >> (2 * FRACTION)).map_or(*n, |quota| quota.min(*n))
        })
    };
    let fits = |lambda: u128| quotas(lambda).map(u128::from).sum::<u128>() <= u128::from(target);
    // Enough for every cell to be whole, so it does not fit.
    let whole = counts.iter().zip(&weights).filter(|(n, _)| **n > 0);
    let mut over =
        whole.map(|(n, weight)| (u128::from(*n) << (2 * FRACTION)) / weight + 1).max().unwrap_or(1);
    let mut under = 0;
    while over - under > 1 {
        let middle = under + (over - under) / 2;
        if fits(middle) { under = middle } else { over = middle }
    }
    let mut given: Vec<u64> = quotas(under).collect();
    let mut left = target - given.iter().sum::<u64>();
    for (quota, next) in given.iter_mut().zip(quotas(over)) {
        if left > 0 && next > *quota {
            *quota += 1;
            left -= 1;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No cell could give a place to another and come nearer to the tempered shares: for the square root,
        /// q/√n of a cell's last place is at most (q+1)/√n of the next place of any other, told in whole numbers.
        #[test]
        fn the_quota_is_the_best_one(counts in prop::collection::vec(0..200u64, 0..30), target in 0..3000u64) {
            let given = apportion(target, &counts, 500_000);
            let total: u64 = counts.iter().sum();
            prop_assert_eq!(given.iter().sum::<u64>(), total.min(target));
            for (q, n) in given.iter().zip(&counts) {
                prop_assert!(q <= n);
                for (other_q, other_n) in given.iter().zip(&counts) {
                    prop_assert!(*q == 0 || other_q == other_n || q * q * other_n <= (other_q + 1) * (other_q + 1) * n);
                }
            }
        }

        #[test]
        fn larger_cells_keep_no_less(counts in prop::collection::vec(0..100_000u64, 1..40), target in 0..500_000u64, alpha in 0..=1_000_000u64) {
            let given = apportion(target, &counts, alpha);
            prop_assert_eq!(given.iter().sum::<u64>(), counts.iter().sum::<u64>().min(target));
            for (q, n) in given.iter().zip(&counts) {
                for (other_q, other_n) in given.iter().zip(&counts) {
                    prop_assert!(n <= other_n || q + 1 > *other_q, "{}: {}, {}: {}", n, q, other_n, other_q);
                }
            }
        }
    }

    #[test]
    fn temper_lies_between_equal_cells_and_equal_shares() {
        let counts = [900, 100, 0, 4];
        assert_eq!(apportion(100, &counts, 0), [48, 48, 0, 4]);
        assert_eq!(apportion(100, &counts, 500_000), [72, 24, 0, 4]);
        assert_eq!(apportion(502, &counts, 1_000_000), [450, 50, 0, 2]);
        assert_eq!(apportion(5_000, &counts, 500_000), counts);
        assert_eq!(apportion(0, &counts, 500_000), [0, 0, 0, 0]);
        // Equal cells: the remainder goes to the first ones.
        assert_eq!(apportion(5, &[3, 3, 3], 500_000), [2, 2, 1]);
    }
}
