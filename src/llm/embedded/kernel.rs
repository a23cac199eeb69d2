//! Products of matrices whose every row is computed alone.
//!
//! **Why**: an element of a product is one sum in one order, whatever else is in the batch. So a row's result
//! depends neither on its neighbours, nor on how a prompt was cut, cached or shared, nor on threads (there
//! are none in here: asks run beside each other). Weights stay in eight bits with a scale and a shift per block,
//! which holds the `Q4_1` and `Q8_0` of the files exactly, and are widened in small panels that stay in cache.
#![expect(clippy::inline_always, reason = "a loop that is not inlined loses its CPU features")]

use super::lanes::{Lanes, by_cpu};

/// Weights in a block.
pub(super) const BLOCK: usize = 32;
/// Rows of weights widened together.
const PANEL: usize = 4;
/// Rows of the input that one widened panel is used for.
const STRIP: usize = 96;

/// `rows × columns` weights: `code × scale + shift`.
pub(super) struct Weights {
    /// Outputs.
    pub(super) rows: usize,
    /// Inputs.
    pub(super) columns: usize,
    /// One per weight.
    pub(super) codes: Vec<u8>,
    /// One per block.
    pub(super) scales: Vec<f32>,
    /// One per block.
    pub(super) shifts: Vec<f32>,
}

impl Weights {
    /// Widens row `row` into `into`.
    #[inline(always)]
    fn widen<L: Lanes>(&self, row: usize, into: &mut [f32]) {
        let blocks = self.columns / BLOCK;
        let codes = &self.codes[row * self.columns..(row + 1) * self.columns];
        let scales = &self.scales[row * blocks..(row + 1) * blocks];
        let shifts = &self.shifts[row * blocks..(row + 1) * blocks];
        for (i, (codes, into)) in codes.chunks_exact(BLOCK).zip(into.chunks_exact_mut(BLOCK)).enumerate() {
            let (scale, shift) = (L::splat(scales[i]), L::splat(shifts[i]));
            for (codes, into) in codes.as_chunks::<8>().0.iter().zip(into.as_chunks_mut::<8>().0) {
                L::widen(*codes).fma(scale, shift).store(into);
            }
        }
    }
}

by_cpu! {
    /// `out[row][o] = x[row] · w[o]`, for rows of `w.columns` and of `w.rows`.
    fn product(x: &[f32], w: &Weights, out: &mut [f32]) = product_in;
    /// `out[row][o] = x[row] · w[o]` for plain weights of `columns`.
    fn dense_product(x: &[f32], w: &[f32], columns: usize, out: &mut [f32]) = dense_product_in;
    /// `into` = row `row` of `w`.
    fn widen(w: &Weights, row: usize, into: &mut [f32]) = widen_in;
}

/// A tile of `R × C` dot products of length `columns` (a multiple of 8).
#[inline(always)]
fn tile<L: Lanes, const R: usize, const C: usize>(x: [&[f32]; R], w: [&[f32]; C]) -> [[f32; C]; R] {
    let x = x.map(|x| x.as_chunks::<8>().0);
    let w = w.map(|w| w.as_chunks::<8>().0);
    let least = x.iter().chain(&w).map(|row| row.len()).min().unwrap_or(0);
    let x = x.map(|x| &x[..least]);
    let w = w.map(|w| &w[..least]);
    let mut sums = [[L::splat(0.0); C]; R];
    for at in 0..least {
        let mut xs = [L::splat(0.0); R];
        for r in 0..R {
            xs[r] = L::load(&x[r][at]);
        }
        for c in 0..C {
            let w = L::load(&w[c][at]);
            for r in 0..R {
                sums[r][c] = xs[r].fma(w, sums[r][c]);
            }
        }
    }
    let mut totals = [[0.0; C]; R];
    for r in 0..R {
        for c in 0..C {
            totals[r][c] = sums[r][c].sum();
        }
    }
    totals
}

/// `R` rows against all of `panel`, which holds `count` rows of `columns`.
#[inline(always)]
fn band<L: Lanes, const R: usize>(
    x: [&[f32]; R],
    panel: &[f32],
    columns: usize,
    count: usize,
    mut put: impl FnMut(usize, usize, f32),
) {
    let row = |c: usize| &panel[c * columns..(c + 1) * columns];
    let mut c = 0;
    while c + PANEL <= count {
        let sums = tile::<L, R, PANEL>(x, [row(c), row(c + 1), row(c + 2), row(c + 3)]);
        for (r, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                put(r, c + i, *sum);
            }
        }
        c += PANEL;
    }
    while c < count {
        for (r, sums) in tile::<L, R, 1>(x, [row(c)]).iter().enumerate() {
            put(r, c, sums[0]);
        }
        c += 1;
    }
}

/// Dot products of every row of `x` with `count` rows of `panel`, to `out[row × stride + offset + c]`.
#[inline(always)]
pub(super) fn dots<L: Lanes>(
    x: &[f32],
    columns: usize,
    panel: &[f32],
    count: usize,
    out: &mut [f32],
    stride: usize,
    offset: usize,
) {
    let rows = x.len() / columns;
    let row = |r: usize| &x[r * columns..(r + 1) * columns];
    let mut r = 0;
    while r < rows {
        let base = r * stride + offset;
        let put = |dr: usize, c: usize, sum: f32| out[base + dr * stride + c] = sum;
        match rows - r {
            1 => band::<L, 1>([row(r)], panel, columns, count, put),
            2 | 4 => {
                band::<L, 2>([row(r), row(r + 1)], panel, columns, count, put);
                r += 1;
            }
            _ => {
                band::<L, 3>([row(r), row(r + 1), row(r + 2)], panel, columns, count, put);
                r += 2;
            }
        }
        r += 1;
    }
}

#[inline(always)]
fn widen_in<L: Lanes>(w: &Weights, row: usize, into: &mut [f32]) {
    w.widen::<L>(row, into);
}

#[inline(always)]
fn dense_product_in<L: Lanes>(x: &[f32], w: &[f32], columns: usize, out: &mut [f32]) {
    let rows = w.len() / columns;
    for (x, out) in x.chunks(STRIP * columns).zip(out.chunks_mut(STRIP * rows)) {
        for (i, panel) in w.chunks(PANEL * columns).enumerate() {
            dots::<L>(x, columns, panel, panel.len() / columns, out, rows, i * PANEL);
        }
    }
}

#[inline(always)]
fn product_in<L: Lanes>(x: &[f32], w: &Weights, out: &mut [f32]) {
    let mut panel = vec![0.0; PANEL * w.columns];
    for (x, out) in x.chunks(STRIP * w.columns).zip(out.chunks_mut(STRIP * w.rows)) {
        for o in (0..w.rows).step_by(PANEL) {
            let count = PANEL.min(w.rows - o);
            for (i, into) in panel.chunks_exact_mut(w.columns).take(count).enumerate() {
                w.widen::<L>(o + i, into);
            }
            dots::<L>(x, w.columns, &panel, count, out, w.rows, o);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::embedded::lanes::Plain;
    use proptest::prelude::*;

    /// Numbers from −1 to 1 that look random.
    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn weights(rows: usize, columns: usize, seed: u64) -> Weights {
        let blocks = rows * columns / BLOCK;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's codes")]
        let codes = noise(rows * columns, seed).iter().map(|x| ((x + 1.0) * 120.0) as u8).collect();
        Weights { rows, columns, codes, scales: noise(blocks, seed + 1), shifts: noise(blocks, seed + 2) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_product_is_the_plain_sum(rows in 1..8usize, outputs in 1..11usize, blocks in 1..4usize, seed: u64) {
            let columns = blocks * BLOCK;
            let (x, w) = (noise(rows * columns, seed), weights(outputs, columns, seed >> 1));
            let mut out = vec![f32::NAN; rows * outputs];
            product(&x, &w, &mut out);
            for r in 0..rows {
                for o in 0..outputs {
                    let terms = (0..columns).map(|c| {
                        let at = o * columns + c;
                        let (scale, shift) = (f64::from(w.scales[at / BLOCK]), f64::from(w.shifts[at / BLOCK]));
                        f64::from(x[r * columns + c]) * (f64::from(w.codes[at]) * scale + shift)
                    });
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let off = (f64::from(out[r * outputs + o]) - sum).abs();
                    prop_assert!(off <= size * 1e-5, "row {r} output {o}: off by {off}");
                }
            }
        }

        #[test]
        fn a_row_has_the_same_bits_alone_and_without_special_instructions(rows in 1..120usize, seed: u64) {
            let (columns, outputs) = (96, 9);
            let (x, w) = (noise(rows * columns, seed), weights(outputs, columns, seed >> 1));
            let mut all = vec![0.0; rows * outputs];
            product(&x, &w, &mut all);
            let mut plain = vec![0.0; rows * outputs];
            product_in::<Plain>(&x, &w, &mut plain);
            prop_assert_eq!(&all, &plain);
            for (x, out) in x.chunks(columns).zip(all.chunks(outputs)) {
                let mut alone = vec![0.0; outputs];
                product(x, &w, &mut alone);
                prop_assert_eq!(&alone, out);
            }
        }
    }
}
