//! What is done to one row of numbers: norms, gates, shares.
//!
//! **Why**: as in [`kernel`](super::kernel), a row's result is a function of that row alone.
#![expect(clippy::inline_always, reason = "a loop that is not inlined loses its CPU features")]

use super::lanes::{Lanes, by_cpu};

by_cpu! {
    /// Each row of `x`, divided by its root mean square and multiplied by `weight`.
    fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = rms_norm_in;
    /// Each row of `x` to mean 0 and variance 1, then `× weight + bias`.
    fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) = layer_norm_in;
    /// `gate = silu(gate) × up`.
    fn gate(gate: &mut [f32], up: &[f32]) = gate_in;
    /// Each row of `x` plus `bias`, through the Gauss error unit.
    fn bias_gelu(x: &mut [f32], bias: &[f32]) = bias_gelu_in;
    /// `x += other`.
    fn add(x: &mut [f32], other: &[f32]) = add_in;
    /// Each row of `x` plus `bias`.
    fn bias(x: &mut [f32], bias: &[f32]) = bias_in;
    /// `x = e^(x − most)`, where `most` is the greatest of `x`; gives `most` and the sum.
    fn exponentials(x: &mut [f32], most: &mut f32, total: &mut f32) = exponentials_in;
}

/// The eights of `x`, whose length must be a multiple of 8.
#[inline(always)]
fn eights(x: &[f32]) -> &[[f32; 8]] {
    x.as_chunks::<8>().0
}

#[inline(always)]
fn rms_norm_in<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mut squares = L::splat(0.0);
        for x in eights(x) {
            squares = L::load(x).fma(L::load(x), squares);
        }
        let by = L::splat(1.0 / (squares.sum() / width as f32 + epsilon).sqrt());
        for ((out, x), weight) in out.as_chunks_mut::<8>().0.iter_mut().zip(eights(x)).zip(eights(weight)) {
            L::load(x).mul(by).mul(L::load(weight)).store(out);
        }
    }
}

#[inline(always)]
fn layer_norm_in<L: Lanes>(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let width = weight.len();
    for x in x.chunks_exact_mut(width) {
        let mut sum = L::splat(0.0);
        for x in eights(x) {
            sum = sum.add(L::load(x));
        }
        let mean = L::splat(sum.sum() / width as f32);
        let mut squares = L::splat(0.0);
        for x in eights(x) {
            let off = L::load(x).sub(mean);
            squares = off.fma(off, squares);
        }
        let by = L::splat(1.0 / (squares.sum() / width as f32 + epsilon).sqrt());
        for ((x, weight), bias) in x.as_chunks_mut::<8>().0.iter_mut().zip(eights(weight)).zip(eights(bias)) {
            L::load(x).sub(mean).mul(by).fma(L::load(weight), L::load(bias)).store(x);
        }
    }
}

#[inline(always)]
fn gate_in<L: Lanes>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.as_chunks_mut::<8>().0.iter_mut().zip(eights(up)) {
        let x = L::load(gate);
        let below = L::splat(1.0).add(L::splat(0.0).sub(x).exp());
        x.div(below).mul(L::load(up)).store(gate);
    }
}

/// `x × Φ(x)`, with the error function of Abramowitz and Stegun 7.1.26 (absolute error under 2e-7).
#[inline(always)]
fn gelu<L: Lanes>(x: L) -> L {
    let one = L::splat(1.0);
    let z = x.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2));
    let size = z.max(L::splat(0.0).sub(z));
    let t = one.div(size.fma(L::splat(0.327_591_1), one));
    let p = L::splat(1.061_405_4).fma(t, L::splat(-1.453_152_1));
    let p = p.fma(t, L::splat(1.421_413_8));
    let p = p.fma(t, L::splat(-0.284_496_72));
    let p = p.fma(t, L::splat(0.254_829_6)).mul(t);
    let tail = p.mul(L::splat(0.0).sub(size.mul(size)).exp());
    // erf(|z|) = 1 − tail, and x × erf(z) = |x| × erf(|z|).
    let absolute = x.max(L::splat(0.0).sub(x));
    absolute.mul(one.sub(tail)).add(x).mul(L::splat(0.5))
}

#[inline(always)]
fn bias_gelu_in<L: Lanes>(x: &mut [f32], bias: &[f32]) {
    for x in x.chunks_exact_mut(bias.len()) {
        for (x, bias) in x.as_chunks_mut::<8>().0.iter_mut().zip(eights(bias)) {
            gelu(L::load(x).add(L::load(bias))).store(x);
        }
    }
}

#[inline(always)]
fn add_in<L: Lanes>(x: &mut [f32], other: &[f32]) {
    for (x, other) in x.as_chunks_mut::<8>().0.iter_mut().zip(eights(other)) {
        L::load(x).add(L::load(other)).store(x);
    }
}

#[inline(always)]
fn bias_in<L: Lanes>(x: &mut [f32], bias: &[f32]) {
    for x in x.chunks_exact_mut(bias.len()) {
        add_in::<L>(x, bias);
    }
}

#[inline(always)]
fn exponentials_in<L: Lanes>(x: &mut [f32], most: &mut f32, total: &mut f32) {
    let (eights, rest) = x.as_chunks_mut::<8>();
    // What is left over, filled up with what counts for nothing.
    let mut last = [f32::MIN; 8];
    for (last, x) in last.iter_mut().zip(&*rest) {
        *last = *x;
    }
    let greatest = eights.iter().fold(L::load(&last), |greatest, x| greatest.max(L::load(x)));
    let mut lanes = [0.0; 8];
    greatest.store(&mut lanes);
    *most = lanes.into_iter().fold(f32::MIN, |most, x| if x > most { x } else { most });
    let greatest = L::splat(*most);
    let mut sum = L::splat(0.0);
    for x in eights {
        let power = L::load(x).sub(greatest).exp();
        power.store(x);
        sum = sum.add(power);
    }
    let mut powers = [0.0; 8];
    L::load(&last).sub(greatest).exp().store(&mut powers);
    for power in powers.iter_mut().skip(rest.len()) {
        *power = 0.0;
    }
    for (x, power) in rest.iter_mut().zip(&powers) {
        *x = *power;
    }
    *total = sum.add(L::load(&powers)).sum();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::embedded::lanes::Plain;

    fn line(from: f32, to: f32, count: usize) -> Vec<f32> {
        (0..count).map(|i| from + (to - from) * i as f32 / count as f32).collect()
    }

    #[test]
    fn exponentials_are_right_and_alike_in_every_form() {
        for count in [1, 7, 8, 9, 1003] {
            let x = line(-60.0, 4.0, count);
            let (mut found, mut most, mut total) = (x.clone(), 0.0, 0.0);
            exponentials(&mut found, &mut most, &mut total);
            let greatest = x.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(most.to_bits(), greatest.to_bits());
            let mut sum = 0.0;
            for (found, x) in found.iter().zip(&x) {
                let exact = f64::from(x - greatest).exp();
                sum += exact;
                assert!((f64::from(*found) - exact).abs() <= exact * 4e-7, "e^{}: {found}", x - greatest);
            }
            assert!((f64::from(total) - sum).abs() <= sum * 1e-5);
            let (mut plain, mut plain_most, mut plain_total) = (x, 0.0, 0.0);
            exponentials_in::<Plain>(&mut plain, &mut plain_most, &mut plain_total);
            assert_eq!((plain, plain_total.to_bits()), (found, total.to_bits()));
        }
    }

    #[test]
    fn gates_and_units_follow_their_formulas() {
        let x = line(-9.0, 9.0, 512);
        let mut gated = x.clone();
        gate(&mut gated, &vec![2.0; 512]);
        let mut units = x.clone();
        bias_gelu(&mut units, &vec![0.5; 512]);
        for ((gated, unit), x) in gated.iter().zip(&units).zip(&x) {
            let x = f64::from(*x);
            assert!((f64::from(*gated) - 2.0 * x / (1.0 + (-x).exp())).abs() < 1e-5, "gate of {x}");
            let x = x + 0.5;
            // Φ by Simpson's rule, as an oracle.
            let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let step = x / 2000.0;
            let area: f64 = (0..2000)
                .map(|i| f64::from(i) * step)
                .map(|t| (density(t) + 4.0 * density(t + step / 2.0) + density(t + step)) * step / 6.0)
                .sum();
            assert!((f64::from(*unit) - x * (0.5 + area)).abs() < 3e-6, "unit of {x}: {unit}");
        }
    }

    #[test]
    fn norms_follow_their_formulas() {
        let (x, weight) = (line(-3.0, 5.0, 64), line(0.5, 1.5, 32));
        let mut out = vec![0.0; 64];
        rms_norm(&x, &weight, 1e-5, &mut out);
        let mut layered = x.clone();
        layer_norm(&mut layered, &weight, &weight, 1e-12);
        for row in 0..2 {
            let x: Vec<f64> = x[row * 32..(row + 1) * 32].iter().map(|x| f64::from(*x)).collect();
            let size = (x.iter().map(|x| x * x).sum::<f64>() / 32.0 + 1e-5).sqrt();
            let mean = x.iter().sum::<f64>() / 32.0;
            let spread = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 32.0).sqrt();
            for (i, x) in x.iter().enumerate() {
                let weight = f64::from(weight[i]);
                assert!((f64::from(out[row * 32 + i]) - x / size * weight).abs() < 1e-5);
                let expected = (x - mean) / spread * weight + weight;
                assert!((f64::from(layered[row * 32 + i]) - expected).abs() < 1e-5);
            }
        }
    }
}
