//! Attention over keys and values that lie in several stretches: a prefix that is kept, a prompt that is shared,
//! and what belongs to one row.
//!
//! **Why**: no stretch is ever copied to be shared, and a score or a weighted sum goes through the positions in
//! their order, so where one stretch ends and the next begins changes no bit.
#![expect(clippy::inline_always, reason = "a loop that is not inlined loses its CPU features")]

use super::kernel::dots;
use super::lanes::{Lanes, by_cpu};
use super::rows::exponentials;

/// Positions weighed at once: their values stay in the first cache.
const STEP: usize = 64;

/// Keys and values of one head over consecutive positions: `positions × width` each.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// Keys.
    pub(super) keys: &'a [f32],
    /// Values.
    pub(super) values: &'a [f32],
}

/// Queries of consecutive rows that see the same own stretch.
pub(super) struct Run<'a> {
    /// How many query vectors: rows × heads of the group.
    pub(super) queries: usize,
    /// The stretch of their own.
    pub(super) own: Stretch<'a>,
    /// How many positions of it the first row sees; each further row sees one more if `causal`.
    pub(super) first_sees: usize,
}

/// One head group: all queries see all of `shared` and a part of their run's own stretch.
pub(super) struct Group<'a> {
    /// Width of a head, a multiple of 32.
    pub(super) width: usize,
    /// Query heads per row.
    pub(super) heads: usize,
    /// Stretches before the own ones.
    pub(super) shared: Vec<Stretch<'a>>,
    /// Runs, in the order of the queries.
    pub(super) runs: Vec<Run<'a>>,
    /// Rows see one more position than the row before.
    pub(super) causal: bool,
}

/// Room for scores, kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    seen: Vec<usize>,
}

by_cpu! {
    /// `out[query] = Σ softmax(query · key) × value`; queries come scaled.
    fn attend(group: &Group<'_>, queries: &[f32], out: &mut [f32], scratch: &mut Scratch) = attend_in;
}

#[inline(always)]
fn attend_in<L: Lanes>(group: &Group<'_>, queries: &[f32], out: &mut [f32], scratch: &mut Scratch) {
    let width = group.width;
    let before: usize = group.shared.iter().map(|stretch| stretch.keys.len() / width).sum();
    let sees =
        |run: &Run<'_>, query: usize| run.first_sees + if group.causal { query / group.heads } else { 0 };
    scratch.seen.clear();
    for run in &group.runs {
        scratch.seen.extend((0..run.queries).map(|query| before + sees(run, query)));
    }
    let stride = scratch.seen.iter().copied().max().unwrap_or(0);
    scratch.scores.resize(stride * scratch.seen.len(), 0.0);
    let scores = &mut scratch.scores[..stride * scratch.seen.len()];
    let mut offset = 0;
    for stretch in &group.shared {
        let count = stretch.keys.len() / width;
        dots::<L>(queries, width, stretch.keys, count, scores, stride, offset);
        offset += count;
    }
    let mut start = 0;
    for run in &group.runs {
        let most = sees(run, run.queries - 1);
        let queries = &queries[start * width..(start + run.queries) * width];
        let scores = &mut scores[start * stride..];
        dots::<L>(queries, width, &run.own.keys[..most * width], most, scores, stride, before);
        start += run.queries;
    }
    out.fill(0.0);
    let mut totals = vec![0.0; scratch.seen.len()];
    for ((scores, seen), total) in scores.chunks_exact_mut(stride).zip(&scratch.seen).zip(&mut totals) {
        exponentials(&mut scores[..*seen], &mut 0.0, total);
    }
    let mut offset = 0;
    for stretch in &group.shared {
        for values in stretch.values.chunks(STEP * width) {
            let count = values.len() / width;
            weigh_all::<L>(scores, stride, offset, values, width, out, |_| count);
            offset += count;
        }
    }
    let mut start = 0;
    for run in &group.runs {
        let scores = &scores[start * stride..(start + run.queries) * stride];
        let out = &mut out[start * width..(start + run.queries) * width];
        for (i, values) in run.own.values.chunks(STEP * width).enumerate() {
            let count = |query: usize| sees(run, query).saturating_sub(i * STEP).min(values.len() / width);
            weigh_all::<L>(scores, stride, before + i * STEP, values, width, out, count);
        }
        start += run.queries;
    }
    for (out, total) in out.chunks_exact_mut(width).zip(&totals) {
        let by = L::splat(1.0 / total);
        for out in out.as_chunks_mut::<8>().0 {
            L::load(out).mul(by).store(out);
        }
    }
}

/// Adds `score × value` for the first `count(query)` of `values` to every query's row of `out`.
#[inline(always)]
fn weigh_all<L: Lanes>(
    scores: &[f32],
    stride: usize,
    offset: usize,
    values: &[f32],
    width: usize,
    out: &mut [f32],
    count: impl Fn(usize) -> usize,
) {
    let queries = out.len() / width;
    let score = |query: usize, n: usize| {
        let from = query * stride + offset;
        &scores[from..from + n]
    };
    let mut query = 0;
    while query < queries {
        let n = count(query);
        let out = &mut out[query * width..];
        if n == 0 {
            query += 1;
        } else if query + 3 <= queries && count(query + 2) == n {
            weigh::<L, 3>([score(query, n), score(query + 1, n), score(query + 2, n)], values, width, out);
            query += 3;
        } else {
            weigh::<L, 1>([score(query, n)], values, width, out);
            query += 1;
        }
    }
}

#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "counted loops over registers, unrolled")]
fn weigh<L: Lanes, const R: usize>(scores: [&[f32]; R], values: &[f32], width: usize, out: &mut [f32]) {
    for part in (0..width).step_by(32) {
        let mut sums = [[L::splat(0.0); 4]; R];
        for r in 0..R {
            let from = out[r * width + part..].as_chunks::<8>().0;
            for i in 0..4 {
                sums[r][i] = L::load(&from[i]);
            }
        }
        let least = scores.iter().map(|scores| scores.len()).min().unwrap_or(0);
        let scores = scores.map(|scores| &scores[..least]);
        for (at, values) in values.chunks_exact(width).take(least).enumerate() {
            let Some(values) = values.get(part..part + 32) else { break };
            let values = values.as_chunks::<8>().0;
            let mut by = [L::splat(0.0); R];
            for r in 0..R {
                by[r] = L::splat(scores[r][at]);
            }
            for i in 0..4 {
                let Some(value) = values.get(i) else { break };
                let value = L::load(value);
                for r in 0..R {
                    sums[r][i] = by[r].fma(value, sums[r][i]);
                }
            }
        }
        for r in 0..R {
            let into = out[r * width + part..].as_chunks_mut::<8>().0;
            for i in 0..4 {
                sums[r][i].store(&mut into[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::embedded::lanes::Plain;

    const WIDTH: usize = 64;
    const HEADS: usize = 3;

    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    /// One query against all positions it sees, in double precision.
    fn exact(query: &[f32], keys: &[f32], values: &[f32], seen: usize) -> Vec<f64> {
        let scores = keys
            .chunks(WIDTH)
            .take(seen)
            .map(|key| key.iter().zip(query).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum::<f64>().exp());
        let scores: Vec<f64> = scores.collect();
        let total: f64 = scores.iter().sum();
        let at = |i: usize| {
            scores.iter().enumerate().map(|(n, s)| s * f64::from(values[n * WIDTH + i])).sum::<f64>()
        };
        (0..WIDTH).map(|i| at(i) / total).collect()
    }

    #[test]
    fn stretches_and_runs_change_no_bit_and_the_sum_is_right() {
        for (before, rows) in [(0, 5), (1, 1), (100, 7), (70, 3)] {
            let positions = before + rows;
            let (keys, values) = (noise(positions * WIDTH, 1), noise(positions * WIDTH, 2));
            let queries: Vec<f32> = noise(rows * HEADS * WIDTH, 3).iter().map(|x| x / 8.0).collect();
            let whole = |from: usize, to: usize| Stretch {
                keys: &keys[from * WIDTH..to * WIDTH],
                values: &values[from * WIDTH..to * WIDTH],
            };
            let run = |shared: Vec<Stretch<'_>>, own: usize, plain: bool| {
                let run =
                    Run { queries: rows * HEADS, own: whole(own, positions), first_sees: before - own + 1 };
                let group = Group { width: WIDTH, heads: HEADS, shared, runs: vec![run], causal: true };
                let mut out = vec![f32::NAN; queries.len()];
                let mut scratch = Scratch::default();
                if plain {
                    attend_in::<Plain>(&group, &queries, &mut out, &mut scratch);
                } else {
                    attend(&group, &queries, &mut out, &mut scratch);
                }
                out
            };
            let alone = run(Vec::new(), 0, false);
            assert_eq!(alone, run(vec![whole(0, before)], before, false));
            assert_eq!(alone, run(vec![whole(0, before / 3), whole(before / 3, before)], before, true));
            for (q, (query, out)) in queries.chunks(WIDTH).zip(alone.chunks(WIDTH)).enumerate() {
                let expected = exact(query, &keys, &values, before + q / HEADS + 1);
                for (out, expected) in out.iter().zip(expected) {
                    assert!((f64::from(*out) - expected).abs() < 1e-5, "query {q}");
                }
            }
        }
    }
}
