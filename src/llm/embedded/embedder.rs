//! The sentence encoder all-MiniLM-L6-v2: a vector for an English text.
//!
//! **Why** our own forward pass: it shares the kernels of the language model, so its vectors, too, are the same on
//! every machine and with any number of threads, and eight-bit vectors can be compared exactly.

use super::attention::{Group, Run, Scratch, Stretch, attend};
use super::kernel::dense_product;
use super::rows::{add, bias, bias_gelu, layer_norm};
use crate::error::{Error, Result};
use crate::llm::{Answer, Refusal, Reply, Usage};
use crate::model::Reason;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::{Tokenizer, TruncationParams};

/// Width of a vector.
const WIDTH: usize = 384;
/// Attention heads.
const HEADS: usize = 12;
/// Width of the inner layer.
const INNER: usize = 1536;
/// Layers.
const LAYERS: usize = 6;
/// Word pieces that count, with the marks at both ends: what the model was made for.
const MOST_PIECES: usize = 256;
const EPSILON: f32 = 1e-12;

/// A linear map.
struct Linear {
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

/// Scale and shift after normalising.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: Norm,
    inner: Linear,
    outer: Linear,
    outer_norm: Norm,
}

/// The encoder and its tokenizer.
pub(super) struct Embedder {
    tokenizer: Tokenizer,
    words: Vec<f32>,
    positions: Vec<f32>,
    kind: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Linear {
    fn of(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len() / self.inputs * self.bias.len()];
        dense_product(x, &self.weight, self.inputs, &mut out);
        out
    }
}

impl Embedder {
    /// Opens the weights and the tokenizer.
    pub(super) fn open(weights: &Path, tokenizer: &Path) -> Result<Self> {
        let odd = |path: &Path, cause: String| {
            Error::unavailable(format!("sentence encoder unreadable: path={}", path.display())).because(cause)
        };
        let mut pieces =
            Tokenizer::from_file(tokenizer).map_err(|cause| odd(tokenizer, cause.to_string()))?;
        let most = TruncationParams { max_length: MOST_PIECES, ..TruncationParams::default() };
        pieces.with_truncation(Some(most)).map_err(|cause| odd(tokenizer, cause.to_string()))?;
        pieces.with_padding(None);
        let tensors = candle_core::safetensors::load(weights, &Device::Cpu)
            .map_err(|cause| odd(weights, cause.to_string()))?;
        let tensors = Tensors { tensors: tensors.into_iter().collect() };
        Self::read(&tensors, pieces).map_err(|name| odd(weights, format!("odd tensor: {name}")))
    }

    fn read(tensors: &Tensors, tokenizer: Tokenizer) -> Result<Self, String> {
        let layers = (0..LAYERS).map(|i| {
            let name = |part: &str| format!("encoder.layer.{i}.{part}");
            Ok(Layer {
                query: tensors.linear(&name("attention.self.query"), WIDTH, WIDTH)?,
                key: tensors.linear(&name("attention.self.key"), WIDTH, WIDTH)?,
                value: tensors.linear(&name("attention.self.value"), WIDTH, WIDTH)?,
                output: tensors.linear(&name("attention.output.dense"), WIDTH, WIDTH)?,
                output_norm: tensors.norm(&name("attention.output.LayerNorm"))?,
                inner: tensors.linear(&name("intermediate.dense"), WIDTH, INNER)?,
                outer: tensors.linear(&name("output.dense"), INNER, WIDTH)?,
                outer_norm: tensors.norm(&name("output.LayerNorm"))?,
            })
        });
        let layers = layers.collect::<Result<_, String>>()?;
        let table = |part: &str| tensors.numbers(&format!("embeddings.{part}_embeddings.weight"), None);
        Ok(Self {
            tokenizer,
            words: table("word")?,
            positions: table("position")?,
            kind: table("token_type")?,
            norm: tensors.norm("embeddings.LayerNorm")?,
            layers,
        })
    }

    /// Answers [`Ask::Embed`](crate::llm::Ask::Embed).
    pub(super) fn embed(&self, text: &str) -> Result<Reply, Refusal> {
        let pieces = self.tokenizer.encode_fast(text, true);
        let pieces = pieces.map_err(|cause| Refusal::Rejected(Reason::Rejected, cause.to_string()))?;
        let vector = self
            .vector(pieces.get_ids())
            .ok_or_else(|| Refusal::Rejected(Reason::Rejected, "no vector for this text".into()))?;
        let usage =
            Usage { input_tokens: u64::try_from(pieces.get_ids().len()).unwrap_or(0), output_tokens: 0 };
        Ok(Reply { answer: Answer::Vector(quantise(&vector)), usage })
    }

    /// The mean of the last rows, of unit length.
    fn vector(&self, pieces: &[u32]) -> Option<Vec<f32>> {
        let mut x = vec![0.0; pieces.len() * WIDTH];
        for ((x, piece), position) in
            x.chunks_exact_mut(WIDTH).zip(pieces).zip(self.positions.chunks_exact(WIDTH))
        {
            let from = *piece as usize * WIDTH;
            x.copy_from_slice(self.words.get(from..from + WIDTH)?);
            add(x, position);
            add(x, self.kind.get(..WIDTH)?);
        }
        self.norm.apply(&mut x);
        for layer in &self.layers {
            layer.apply(&mut x);
        }
        let mut mean = vec![0.0; WIDTH];
        for x in x.chunks_exact(WIDTH) {
            add(&mut mean, x);
        }
        let length = mean.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if length.is_nan() || length <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "components of a unit vector")]
        Some(mean.iter().map(|x| (f64::from(*x) / length) as f32).collect())
    }
}

impl Norm {
    fn apply(&self, x: &mut [f32]) {
        layer_norm(x, &self.weight, &self.bias, EPSILON);
    }
}

impl Layer {
    fn apply(&self, x: &mut [f32]) {
        let mut found = self.attention(x);
        bias(&mut found, &self.output.bias);
        add(x, &found);
        self.output_norm.apply(x);
        let mut inner = self.inner.of(x);
        bias_gelu(&mut inner, &self.inner.bias);
        let mut outer = self.outer.of(&inner);
        bias(&mut outer, &self.outer.bias);
        add(x, &outer);
        self.outer_norm.apply(x);
    }

    fn attention(&self, x: &[f32]) -> Vec<f32> {
        const HEAD: usize = WIDTH / HEADS;
        let rows = x.len() / WIDTH;
        let [queries, keys, values] = [&self.query, &self.key, &self.value].map(|linear| {
            let mut out = linear.of(x);
            bias(&mut out, &linear.bias);
            out
        });
        let scale = 1.0 / (HEAD as f32).sqrt();
        let head_of = |x: &[f32], head: usize, by: f32| -> Vec<f32> {
            let rows = x.chunks_exact(WIDTH).flat_map(|x| &x[head * HEAD..(head + 1) * HEAD]);
            rows.map(|x| x * by).collect()
        };
        let mut found = vec![0.0; x.len()];
        let mut scratch = Scratch::default();
        for head in 0..HEADS {
            let (keys, values) = (head_of(&keys, head, 1.0), head_of(&values, head, 1.0));
            let own = Stretch { keys: &keys, values: &values };
            let runs = vec![Run { queries: rows, own, first_sees: rows }];
            let group = Group { width: HEAD, heads: 1, shared: Vec::new(), runs, causal: false };
            let mut out = vec![0.0; rows * HEAD];
            attend(&group, &head_of(&queries, head, scale), &mut out, &mut scratch);
            for (found, out) in found.chunks_exact_mut(WIDTH).zip(out.chunks_exact(HEAD)) {
                found[head * HEAD..(head + 1) * HEAD].copy_from_slice(out);
            }
        }
        self.output.of(&found)
    }
}

/// The tensors of the file.
struct Tensors {
    tensors: BTreeMap<String, Tensor>,
}

impl Tensors {
    fn numbers(&self, name: &str, length: Option<usize>) -> Result<Vec<f32>, String> {
        let tensor = self.tensors.get(name).ok_or(name)?;
        let numbers = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1());
        let numbers: Vec<f32> = numbers.map_err(|_| name)?;
        if length.is_none_or(|length| length == numbers.len()) { Ok(numbers) } else { Err(name.to_owned()) }
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, String> {
        let weight = self.numbers(&format!("{name}.weight"), Some(inputs * outputs))?;
        Ok(Linear { weight, bias: self.numbers(&format!("{name}.bias"), Some(outputs))?, inputs })
    }

    fn norm(&self, name: &str) -> Result<Norm, String> {
        let weight = self.numbers(&format!("{name}.weight"), Some(WIDTH))?;
        Ok(Norm { weight, bias: self.numbers(&format!("{name}.bias"), Some(WIDTH))? })
    }
}

/// Components × 127, rounded.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range")]
fn quantise(vector: &[f32]) -> Vec<i8> {
    vector.iter().map(|x| (x * 127.0).round().clamp(-127.0, 127.0) as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::models::{Cache, MINILM, MINILM_TOKENIZER};
    use candle_nn::VarBuilder;
    use candle_transformers::models::bert::{BertModel, Config};

    fn encoder() -> Option<(Embedder, std::path::PathBuf)> {
        let cache = Cache::at(None).ok()?;
        let Some((weights, tokenizer)) = cache.find(&MINILM).zip(cache.find(&MINILM_TOKENIZER)) else {
            println!("skipped: model files are not there, fetch them with `isogloss models --fetch`");
            return None;
        };
        Some((Embedder::open(&weights, &tokenizer).expect("opens"), weights))
    }

    fn vector(encoder: &Embedder, text: &str) -> Vec<i8> {
        match encoder.embed(text).expect("answers").answer {
            Answer::Vector(vector) => vector,
            other => panic!("{other:?}"),
        }
    }

    fn dot(a: &[i8], b: &[i8]) -> i32 {
        a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
    }

    #[test]
    fn a_vector_is_the_one_that_candle_finds() {
        let Some((encoder, weights)) = encoder() else { return };
        let tensors = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
        let vars = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let config = Config {
            hidden_size: WIDTH,
            num_hidden_layers: LAYERS,
            num_attention_heads: HEADS,
            intermediate_size: INNER,
            ..Config::default()
        };
        let oracle = BertModel::load(vars, &config).unwrap();
        let pieces = encoder.tokenizer.encode("The tide rises twice a day on most coasts.", true).unwrap();
        let input = Tensor::new(pieces.get_ids(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let rows = oracle.forward(&input, &input.zeros_like().unwrap(), None).unwrap();
        let mean = rows.mean(1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        let found = encoder.vector(pieces.get_ids()).unwrap();
        for (found, expected) in found.iter().zip(&mean) {
            assert!((found - expected / length).abs() < 1e-5, "{found} {}", expected / length);
        }
    }

    #[test]
    fn a_paraphrase_is_nearer_than_another_subject() {
        let Some((encoder, _)) = encoder() else { return };
        let trios = [
            (
                "How do I bake bread at home?",
                "What is a recipe for home-made bread?",
                "Why do stars twinkle?",
            ),
            (
                "Explain how vaccines work.",
                "How does a vaccine protect the body?",
                "Describe the history of Lisbon.",
            ),
            ("What causes tides?", "Why does the sea rise and fall twice a day?", "How is cheese made?"),
        ];
        for (text, near, far) in
            trios.map(|(a, b, c)| (vector(&encoder, a), vector(&encoder, b), vector(&encoder, c)))
        {
            assert_eq!(text.len(), WIDTH);
            let length = f64::from(dot(&text, &text)).sqrt();
            assert!((length - 127.0).abs() < 1.5, "{length}");
            assert!(dot(&text, &near) > dot(&text, &far) + 2000);
        }
    }

    #[test]
    fn only_the_first_pieces_count_and_nothing_breaks() {
        let Some((encoder, _)) = encoder() else { return };
        let long = "tide ".repeat(400);
        assert_eq!(vector(&encoder, &long), vector(&encoder, &format!("{long} and much more of it")));
        for text in ["", " ", "\0", "😀", "ção"] {
            assert_eq!(vector(&encoder, text).len(), WIDTH);
        }
    }
}
