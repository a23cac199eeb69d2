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
