//! The small language model: a Llama of 30 layers, evaluated row by row.
//!
//! **Why** our own forward pass: what is asked are few long prompts with many short tails. Here a kept prefix and
//! a shared prompt are read where they lie, only the rows that are wanted meet the vocabulary, and each row's
//! numbers are the same alone or in a batch (see [`kernel`](super::kernel)).

use super::attention::{Group, Run, Scratch, Stretch, attend};
use super::kernel::{Weights, product, widen};
use super::rows::{add, gate, rms_norm};
use super::weights::Gguf;
use crate::error::{Error, Result};

/// Rows that attend together.
const CHUNK: usize = 16;

/// The sizes of the model.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: usize,
    heads: usize,
    groups: usize,
    head: usize,
    inner: usize,
    vocabulary: usize,
    window: usize,
    epsilon: f32,
}

struct Layer {
    attention_norm: Vec<f32>,
    query: Weights,
    key: Weights,
    value: Weights,
    output: Weights,
    inner_norm: Vec<f32>,
    gate: Weights,
    up: Weights,
    down: Weights,
}

/// The model.
pub(super) struct Llama {
    shape: Shape,
    embedding: Weights,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// Cosine and sine, for each position and pair.
    turns: Vec<(f32, f32)>,
}

/// Keys and values of consecutive tokens, per layer and group.
pub(super) struct Memory {
    capacity: usize,
    tokens: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Memory {
    fn stretch(&self, slot: usize, head: usize, tokens: usize) -> Stretch<'_> {
        let from = slot * self.capacity * head;
        let range = from..from + tokens * head;
        Stretch { keys: &self.keys[range.clone()], values: &self.values[range] }
    }
}

/// Tokens to evaluate after what `memory` holds, all of them after the shared memories.
pub(super) struct Stream<'a> {
    /// The new tokens, at least one.
    pub(super) tokens: &'a [u32],
    /// How many of the last of them are wanted.
    pub(super) wanted: usize,
    /// What came before; the new tokens are added.
    pub(super) memory: &'a mut Memory,
}

impl Llama {
    /// Reads the model.
    pub(super) fn read(file: &mut Gguf) -> Result<Self> {
        let width = file.number("llama.embedding_length")?;
        let heads = file.number("llama.attention.head_count")?;
        let shape = Shape {
            width,
            heads,
            groups: file.number("llama.attention.head_count_kv")?,
            head: width / heads.max(1),
            inner: file.number("llama.feed_forward_length")?,
            vocabulary: file.number("llama.vocab_size")?,
            window: file.number("llama.context_length")?,
            epsilon: file.fraction("llama.attention.layer_norm_rms_epsilon")?,
        };
        if !shape.head.is_multiple_of(32) || shape.groups == 0 || !heads.is_multiple_of(shape.groups) {
            return Err(Error::unavailable("model file is not of the kind we run: sizes of its heads"));
        }
        let base = f64::from(file.fraction("llama.rope.freq_base")?);
        let count = file.number("llama.block_count")?;
        let embedding = file.matrix("token_embd.weight", shape.vocabulary, width)?;
        let layers = (0..count).map(|i| layer(file, &shape, i)).collect::<Result<_>>()?;
        let norm = file.plain("output_norm.weight", width)?;
        Ok(Self { shape, embedding, layers, norm, turns: turns(&shape, base) })
    }

    /// The most tokens that it can see.
    pub(super) fn window(&self) -> usize {
        self.shape.window
    }

    /// The size of its vocabulary.
    pub(super) fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    /// Room for `capacity` tokens.
    pub(super) fn memory(&self, capacity: usize) -> Memory {
        let size = self.layers.len() * self.shape.groups * self.shape.head * capacity;
        Memory { capacity, tokens: 0, keys: vec![0.0; size], values: vec![0.0; size] }
    }

    /// Evaluates the streams beside each other and gives the final rows of the wanted tokens, in order.
    /// The caller has seen to it that all fits the window and the memories.
    pub(super) fn evaluate(&self, shared: &[&Memory], streams: &mut [Stream<'_>]) -> Vec<f32> {
        let Shape { width, heads, groups, head, inner, epsilon, .. } = self.shape;
        let before: usize = shared.iter().map(|memory| memory.tokens).sum();
        let rows: usize = streams.iter().map(|stream| stream.tokens.len()).sum();
        let mut positions = Vec::with_capacity(rows);
        let mut x = vec![0.0; rows * width];
        let tokens = streams.iter().flat_map(|stream| stream.tokens);
        for (token, x) in tokens.zip(x.chunks_exact_mut(width)) {
            widen(&self.embedding, *token as usize, x);
        }
        for stream in streams.iter() {
            positions.extend((0..stream.tokens.len()).map(|i| before + stream.memory.tokens + i));
        }
        let mut scratch = Scratch::default();
        let mut normed = vec![0.0; rows * width];
        let mut queries = vec![0.0; rows * heads * head];
        let mut keys = vec![0.0; rows * groups * head];
        let mut values = vec![0.0; rows * groups * head];
        let mut gates = vec![0.0; rows * inner];
        let mut ups = vec![0.0; rows * inner];
        for (i, layer) in self.layers.iter().enumerate() {
            rms_norm(&x, &layer.attention_norm, epsilon, &mut normed);
            product(&normed, &layer.query, &mut queries);
            product(&normed, &layer.key, &mut keys);
            product(&normed, &layer.value, &mut values);
            self.turn(&mut queries, &positions);
            self.turn(&mut keys, &positions);
            self.remember(streams, i, &keys, &values);
            self.attend(shared, streams, i, &queries, &mut normed, &mut scratch);
            product(&normed, &layer.output, &mut queries);
            add(&mut x, &queries);
            rms_norm(&x, &layer.inner_norm, epsilon, &mut normed);
            product(&normed, &layer.gate, &mut gates);
            product(&normed, &layer.up, &mut ups);
            gate(&mut gates, &ups);
            product(&gates, &layer.down, &mut normed);
            add(&mut x, &normed);
        }
        let mut wanted = Vec::new();
        let mut start = 0;
        for stream in streams.iter_mut() {
            let end = start + stream.tokens.len();
            wanted.extend_from_slice(&x[(end - stream.wanted) * width..end * width]);
            stream.memory.tokens += stream.tokens.len();
            start = end;
        }
        let mut out = vec![0.0; wanted.len()];
        rms_norm(&wanted, &self.norm, epsilon, &mut out);
        out
    }

    /// The scores of every token of the vocabulary, for each row that [`evaluate`](Self::evaluate) gave.
    pub(super) fn scores(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() / self.shape.width * self.shape.vocabulary];
        product(rows, &self.embedding, &mut out);
        out
    }

    /// How many numbers are in a row that [`evaluate`](Self::evaluate) gives.
    pub(super) fn width(&self) -> usize {
        self.shape.width
    }

    /// Turns neighbouring pairs by their position. The file's rows of queries and keys are ordered for that.
    fn turn(&self, x: &mut [f32], positions: &[usize]) {
        let half = self.shape.head / 2;
        let per_row = x.len() / positions.len();
        for (x, position) in x.chunks_exact_mut(per_row).zip(positions) {
            let turns = &self.turns[position * half..(position + 1) * half];
            for x in x.chunks_exact_mut(self.shape.head) {
                for ([a, b], (cos, sin)) in x.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }

    fn remember(&self, streams: &mut [Stream<'_>], layer: usize, keys: &[f32], values: &[f32]) {
        let Shape { groups, head, .. } = self.shape;
        let mut rows = keys.chunks_exact(groups * head).zip(values.chunks_exact(groups * head));
        for stream in streams {
            let memory = &mut *stream.memory;
            for (i, (keys, values)) in rows.by_ref().take(stream.tokens.len()).enumerate() {
                for group in 0..groups {
                    let slot = layer * groups + group;
                    let to = (slot * memory.capacity + memory.tokens + i) * head;
                    let from = group * head..(group + 1) * head;
                    memory.keys[to..to + head].copy_from_slice(&keys[from.clone()]);
                    memory.values[to..to + head].copy_from_slice(&values[from]);
                }
            }
        }
    }

    fn attend(
        &self,
        shared: &[&Memory],
        streams: &[Stream<'_>],
        layer: usize,
        queries: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Shape { heads, groups, head, .. } = self.shape;
        let per_group = heads / groups;
        let scale = 1.0 / (head as f32).sqrt();
        let owners: Vec<(usize, usize)> = streams
            .iter()
            .enumerate()
            .flat_map(|(s, stream)| (0..stream.tokens.len()).map(move |i| (s, i)))
            .collect();
        let mut gathered = vec![0.0; CHUNK * per_group * head];
        let mut found = vec![0.0; CHUNK * per_group * head];
        let chunks = queries.chunks(CHUNK * heads * head).zip(out.chunks_mut(CHUNK * heads * head));
        for ((queries, out), owners) in chunks.zip(owners.chunks(CHUNK)) {
            for group in 0..groups {
                let slot = layer * groups + group;
                let from = group * per_group * head;
                let size = per_group * head;
                for (i, queries) in queries.chunks_exact(heads * head).enumerate() {
                    for (to, from) in gathered[i * size..].iter_mut().zip(&queries[from..from + size]) {
                        *to = from * scale;
                    }
                }
                let runs = owners.chunk_by(|a, b| a.0 == b.0).map(|run| {
                    let (s, i) = run[0];
                    let memory = &*streams[s].memory;
                    let first_sees = memory.tokens + i + 1;
                    let own = memory.stretch(slot, head, first_sees + run.len() - 1);
                    Run { queries: run.len() * per_group, own, first_sees }
                });
                let attending = Group {
                    width: head,
                    heads: per_group,
                    shared: shared.iter().map(|memory| memory.stretch(slot, head, memory.tokens)).collect(),
                    runs: runs.collect(),
                    causal: true,
                };
                let used = owners.len() * size;
                attend(&attending, &gathered[..used], &mut found[..used], scratch);
                for (i, out) in out.chunks_exact_mut(heads * head).enumerate() {
                    out[from..from + size].copy_from_slice(&found[i * size..(i + 1) * size]);
                }
            }
        }
    }
}

fn layer(file: &mut Gguf, shape: &Shape, i: usize) -> Result<Layer> {
    let Shape { width, heads, groups, head, inner, .. } = *shape;
    let name = |part: &str| format!("blk.{i}.{part}.weight");
    Ok(Layer {
        attention_norm: file.plain(&name("attn_norm"), width)?,
        query: file.matrix(&name("attn_q"), heads * head, width)?,
        key: file.matrix(&name("attn_k"), groups * head, width)?,
        value: file.matrix(&name("attn_v"), groups * head, width)?,
        output: file.matrix(&name("attn_output"), width, heads * head)?,
        inner_norm: file.plain(&name("ffn_norm"), width)?,
        gate: file.matrix(&name("ffn_gate"), inner, width)?,
        up: file.matrix(&name("ffn_up"), inner, width)?,
        down: file.matrix(&name("ffn_down"), width, inner)?,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "sines and cosines fit")]
fn turns(shape: &Shape, base: f64) -> Vec<(f32, f32)> {
    let half = shape.head / 2;
    let speeds: Vec<f64> = (0..half).map(|i| base.powf(-(i as f64) / half as f64)).collect();
    let angles = (0..shape.window).flat_map(|at| speeds.iter().map(move |speed| at as f64 * speed));
    angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).collect()
}
