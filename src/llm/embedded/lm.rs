//! What the small language model is asked: completions of openers, and how likely a text is.
//!
//! **Why**: the prefix of a stage is evaluated once and kept; a prompt is evaluated once for all of its openers.
//! Text is cut into tokens at white space, so a part gives the same tokens alone as in the whole.

use super::llama::{Llama, Memory, Stream};
use super::rows::exponentials;
use super::weights::Gguf;
use crate::error::{Error, Result};
use crate::llm::{Answer, Completion, Refusal, Reply, Usage};
use crate::model::Reason;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

/// Stands before every sequence, as it did between the documents that the model was made from.
const START: u32 = 0;
/// Prefixes kept.
const KEPT: usize = 2;
/// Rows that meet the vocabulary together: their scores take 196,608 bytes each.
const STRIP: usize = 48;

type Slot = Arc<OnceLock<(usize, Memory)>>;

/// The model, its tokenizer, and the prefixes it has in mind.
pub(super) struct Lm {
    model: Llama,
    tokenizer: Tokenizer,
    /// Tokens that end a completion: special ones and those with a newline.
    ends: Vec<bool>,
    kept: Mutex<Vec<(String, Slot)>>,
}

impl Lm {
    /// Opens a GGUF file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = Gguf::open(path)?;
        let model = Llama::read(&mut file)?;
        let odd = |cause: String| {
            Error::unavailable(format!("model file has an odd tokenizer: path={}", path.display()))
                .because(cause)
        };
        let mut tokenizer = Tokenizer::from_gguf(&file.content).map_err(|cause| odd(cause.to_string()))?;
        let parts = vec![Digits::new(true).into(), ByteLevel::new(false, false, true).into()];
        tokenizer.with_pre_tokenizer(Some(Sequence::new(parts)));
        // A text that spells a special token is text.
        tokenizer.set_encode_special_tokens(true);
        let added = tokenizer.get_added_tokens_decoder();
        let ends = (0..u32::try_from(model.vocabulary()).unwrap_or(u32::MAX)).map(|id| {
            // The byte-level alphabet writes a newline as Ċ.
            added.contains_key(&id) || tokenizer.id_to_token(id).is_none_or(|token| token.contains('Ċ'))
        });
        let ends = ends.collect();
        Ok(Self { model, tokenizer, ends, kept: Mutex::new(Vec::new()) })
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Refusal> {
        let encoding = self.tokenizer.encode_fast(text, false);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|cause| Refusal::Rejected(Reason::Rejected, cause.to_string()))
    }

    fn check_length(&self, tokens: usize) -> Result<(), Refusal> {
        let most = self.model.window();
        if tokens <= most {
            return Ok(());
        }
        Err(Refusal::Rejected(
            Reason::Rejected,
            format!("too long for the model: tokens={tokens}, most={most}"),
        ))
    }

    /// The memory of a prefix, from those kept or evaluated now.
    fn prefix(&self, prefix: &str) -> Result<Slot, Refusal> {
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let found = kept.iter().position(|(text, _)| text == prefix);
            let entry = found.map_or_else(|| (prefix.to_owned(), Slot::default()), |at| kept.remove(at));
            let slot = Arc::clone(&entry.1);
            kept.insert(0, entry);
            kept.truncate(KEPT);
            slot
        };
        if slot.get().is_none() {
            let mut tokens = vec![START];
            tokens.extend(self.encode(prefix)?);
            self.check_length(tokens.len())?;
            // Whoever comes second waits here.
            slot.get_or_init(|| (tokens.len(), self.remember(&[], &tokens)));
        }
        Ok(slot)
    }

    fn remember(&self, shared: &[&Memory], tokens: &[u32]) -> Memory {
        let mut memory = self.model.memory(tokens.len());
        if !tokens.is_empty() {
            self.model.evaluate(shared, &mut [Stream { tokens, wanted: 0, memory: &mut memory }]);
        }
        memory
    }

    /// Answers [`Ask::Complete`](crate::llm::Ask::Complete).
    pub(super) fn complete(
        &self,
        prefix: &str,
        prompt: &str,
        openers: &[String],
        max_tokens: u32,
    ) -> Result<Reply, Refusal> {
        let (prefix, gap) = cut(prefix);
        let prompt = format!("{gap}{prompt}");
        let (prompt, gap) = cut(&prompt);
        let mut prompt = self.encode(prompt)?;
        let tails = openers.iter().map(|opener| self.encode(&format!("{gap}{opener}")));
        let mut tails = tails.collect::<Result<Vec<_>, _>>()?;
        if tails.iter().any(Vec::is_empty) {
            let Some(last) = prompt.pop() else {
                return Err(Refusal::Rejected(Reason::Rejected, "nothing to complete".into()));
            };
            for tail in &mut tails {
                tail.insert(0, last);
            }
        }
        let slot = self.prefix(prefix)?;
        let Some((before, prefix)) = slot.get() else {
            return Err(Refusal::Transient(Reason::GaveUp, "prefix lost".into()));
        };
        let most = usize::try_from(max_tokens).unwrap_or(usize::MAX);
        let longest = tails.iter().map(Vec::len).max().unwrap_or(0);
        self.check_length((before + prompt.len() + longest).saturating_add(most))?;
        let usage_in = before + prompt.len() + tails.iter().map(Vec::len).sum::<usize>();
        let prompt = self.remember(&[prefix], &prompt);
        let lines = self.write(&[prefix, &prompt], tails, most);
        let written: usize = lines.iter().map(|line| line.tokens.len()).sum();
        let texts = lines.into_iter().map(|line| {
            let text = self.tokenizer.decode(&line.tokens, true);
            text.map(|text| Completion { text, ended: line.ended })
                .map_err(|cause| Refusal::Rejected(Reason::Rejected, cause.to_string()))
        });
        let answer = Answer::Completions(texts.collect::<Result<_, _>>()?);
        Ok(Reply { answer, usage: usage(usage_in, written) })
    }

    /// Writes on after each tail, greedily, until a token that ends it.
    fn write(&self, shared: &[&Memory], tails: Vec<Vec<u32>>, most: usize) -> Vec<Line> {
        let mut lines: Vec<Line> = tails
            .into_iter()
            .map(|tail| Line {
                memory: self.model.memory(tail.len() + most),
                next: tail,
                tokens: Vec::new(),
                ended: false,
            })
            .collect();
        for _ in 0..most {
            let mut open: Vec<&mut Line> = lines.iter_mut().filter(|line| !line.ended).collect();
            if open.is_empty() {
                break;
            }
            let mut streams: Vec<Stream<'_>> = open
                .iter_mut()
                .map(|line| Stream { tokens: &line.next, wanted: 1, memory: &mut line.memory })
                .collect();
            let rows = self.model.evaluate(shared, &mut streams);
            drop(streams);
            let scores = self.model.scores(&rows);
            for (line, scores) in open.iter_mut().zip(scores.chunks_exact(self.model.vocabulary())) {
                let token = best(scores);
                if self.ends.get(token).copied().unwrap_or(true) {
                    line.ended = true;
                } else {
                    let token = u32::try_from(token).unwrap_or(START);
                    line.tokens.push(token);
                    line.next = vec![token];
                }
            }
        }
        lines
    }

    /// Answers [`Ask::LogProb`](crate::llm::Ask::LogProb).
    pub(super) fn log_prob(
        &self,
        contexts: &[String],
        text: &str,
        most_tokens: u32,
    ) -> Result<Reply, Refusal> {
        let most = usize::try_from(most_tokens).unwrap_or(usize::MAX);
        let mut sequences = Vec::with_capacity(contexts.len());
        for context in contexts {
            let (context, gap) = cut(context);
            let mut tokens = vec![START];
            tokens.extend(self.encode(context)?);
            let mut text = self.encode(&format!("{gap}{text}"))?;
            text.truncate(most);
            if text.is_empty() {
                return Err(Refusal::Rejected(Reason::Rejected, "no text to score".into()));
            }
            self.check_length(tokens.len() + text.len())?;
            sequences.push((tokens, text));
        }
        let read = sequences.iter().map(|(context, text)| context.len() + text.len()).sum();
        // What all contexts begin with is evaluated once; each keeps a token of its own.
        let same = common(&sequences);
        let first = sequences.first().map(|(context, _)| context[..same].to_vec()).unwrap_or_default();
        let shared = self.remember(&[], &first);
        let evaluated: Vec<Vec<u32>> = sequences
            .iter()
            .map(|(context, text)| [&context[same..], &text[..text.len() - 1]].concat())
            .collect();
        let mut memories: Vec<Memory> =
            evaluated.iter().map(|tokens| self.model.memory(tokens.len())).collect();
        let mut streams: Vec<Stream<'_>> = evaluated
            .iter()
            .zip(&sequences)
            .zip(&mut memories)
            .map(|((tokens, (_, text)), memory)| Stream { tokens, wanted: text.len(), memory })
            .collect();
        let rows = self.model.evaluate(&[&shared], &mut streams);
        let targets: Vec<u32> = sequences.iter().flat_map(|(_, text)| text.iter().copied()).collect();
        let mut each = self.each_log_prob(&rows, &targets).into_iter();
        let means = sequences.iter().map(|(_, text)| {
            let sum: f64 = each.by_ref().take(text.len()).sum();
            // Millionths: no more than the platform's logarithm can vouch for.
            (sum / text.len() as f64 * 1e6).round() / 1e6
        });
        Ok(Reply { answer: Answer::LogProbs(means.collect()), usage: usage(read, 0) })
    }

    fn each_log_prob(&self, rows: &[f32], targets: &[u32]) -> Vec<f64> {
        let strips = rows.chunks(STRIP * self.model.width()).zip(targets.chunks(STRIP));
        let mut out = Vec::with_capacity(targets.len());
        for (rows, targets) in strips {
            let mut scores = self.model.scores(rows);
            for (scores, target) in scores.chunks_exact_mut(self.model.vocabulary()).zip(targets) {
                let score = scores.get(*target as usize).copied().unwrap_or(f32::MIN);
                let (mut greatest, mut total) = (0.0, 0.0);
                exponentials(scores, &mut greatest, &mut total);
                out.push(f64::from(score) - f64::from(greatest) - f64::from(total).ln());
            }
        }
        out
    }
}

/// A completion that is being written.
struct Line {
    memory: Memory,
    next: Vec<u32>,
    tokens: Vec<u32>,
    ended: bool,
}

/// The text, and the white space after it: tokens may begin with white space but never go on behind it.
fn cut(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end().len())
}

/// The likeliest token; the least of equals.
fn best(scores: &[f32]) -> usize {
    let start = (0, f32::MIN);
    scores
        .iter()
        .enumerate()
        .fold(start, |best, (i, score)| if *score > best.1 { (i, *score) } else { best })
        .0
}

/// How many tokens all contexts begin with, less one.
fn common(sequences: &[(Vec<u32>, Vec<u32>)]) -> usize {
    let Some((first, _)) = sequences.first() else { return 0 };
    let same = |other: &[u32]| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    sequences.iter().map(|(context, _)| same(context).min(context.len() - 1)).min().unwrap_or(0)
}

fn usage(read: usize, written: usize) -> Usage {
    let count = |tokens| u64::try_from(tokens).unwrap_or(u64::MAX);
    Usage { input_tokens: count(read), output_tokens: count(written) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::models::{Cache, SMOLLM2};
    use candle_core::{Device, Tensor};
    use candle_transformers::models::quantized_llama::ModelWeights;
    use std::sync::LazyLock;

    static LM: LazyLock<Option<Lm>> = LazyLock::new(|| {
        let path = Cache::at(None).ok()?.find(&SMOLLM2);
        if path.is_none() {
            println!("skipped: the model file is not there, fetch it with `isogloss models --fetch`");
        }
        Some(Lm::open(&path?).expect("opens"))
    });

    fn complete(lm: &Lm, prefix: &str, prompt: &str, openers: &[&str], most: u32) -> Vec<Completion> {
        let openers: Vec<String> = openers.iter().map(|opener| (*opener).to_owned()).collect();
        match lm.complete(prefix, prompt, &openers, most).expect("answers").answer {
            Answer::Completions(completions) => completions,
            other => panic!("{other:?}"),
        }
    }

    fn log_prob(lm: &Lm, contexts: &[&str], text: &str) -> Vec<f64> {
        let contexts: Vec<String> = contexts.iter().map(|context| (*context).to_owned()).collect();
        match lm.log_prob(&contexts, text, 20).expect("answers").answer {
            Answer::LogProbs(means) => means,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_token_is_the_one_that_candle_finds() {
        let Some(lm) = LM.as_ref() else { return };
        let path = Cache::at(None).unwrap().find(&SMOLLM2).unwrap();
        let mut file = std::fs::File::open(path).unwrap();
        let content = candle_core::quantized::gguf_file::Content::read(&mut file).unwrap();
        let mut oracle = ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
        let tokens = lm
            .encode("The heart pumps blood through the body. Its left side sends the blood to the")
            .unwrap();
        let input = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = oracle.forward(&input, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut memory = lm.model.memory(tokens.len());
        let rows = lm.model.evaluate(&[], &mut [Stream { tokens: &tokens, wanted: 1, memory: &mut memory }]);
        let found = lm.model.scores(&rows);
        assert_eq!(best(&found), best(&expected));
        // The oracle rounds activations to eight bits, so it is near, not equal.
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&found, &expected) / (dot(&found, &found) * dot(&expected, &expected)).sqrt();
        assert!(cosine > 0.998, "{cosine}");
    }

    #[test]
    fn tokens_are_those_of_the_model() {
        let Some(lm) = LM.as_ref() else { return };
        // Digits stand alone, a word carries the space before it, special tokens in a text are text.
        assert_eq!(lm.encode(" 1234").unwrap().len(), 5);
        assert_eq!(lm.encode("The capital of France is").unwrap(), [504, 3575, 282, 4649, 314]);
        assert!(lm.encode("<|im_end|>").unwrap().len() > 1);
        let whole = lm.encode("Text: One.\n\nText: it's two.\nRequest: What is").unwrap();
        let parts = ["Text: One.", "\n\nText: it's two.\nRequest:", " What is"];
        assert_eq!(whole, parts.map(|part| lm.encode(part).unwrap()).concat());
    }

    #[test]
    fn a_completion_is_the_same_alone_in_a_batch_and_from_a_kept_prefix() {
        let Some(lm) = LM.as_ref() else { return };
        let prefix = "Text: Bees make honey from nectar.\nRequest: How do bees make honey?\n\n";
        let prompt = "Text: Salt melts ice on roads in winter.\nRequest:";
        let openers = [" What is", " How", " Write a short text about"];
        let together = complete(lm, prefix, prompt, &openers, 12);
        assert_eq!(together, complete(lm, prefix, prompt, &openers, 12));
        let whole = format!("{prefix}{prompt}");
        for (opener, completion) in openers.iter().zip(&together) {
            assert!(!completion.text.contains('\n'));
            assert_eq!(
                &complete(lm, "", &whole, &[opener], 12),
                std::slice::from_ref(completion),
                "{opener}"
            );
        }
        assert!(together.iter().any(|completion| completion.ended));
        // Cut short, it has not ended, and what is there is the same.
        let short = complete(lm, prefix, prompt, &openers, 2);
        for (short, long) in short.iter().zip(&together) {
            assert!(long.text.starts_with(&short.text), "{short:?} {long:?}");
        }
    }

    #[test]
    fn a_text_is_likelier_after_what_it_answers() {
        let Some(lm) = LM.as_ref() else { return };
        let pairs = [
            (
                "Why is the sky blue?",
                "The sky looks blue because air scatters the blue part of sunlight more than the red.",
            ),
            (
                "How do I boil an egg?",
                "Put the egg in boiling water and leave it there for eight minutes, then cool it.",
            ),
            (
                "What is the capital of Portugal?",
                "The capital of Portugal is Lisbon, a city on the river Tagus.",
            ),
            (
                "How do vaccines work?",
                "Vaccines teach the immune system to recognise a virus before it meets the real one.",
            ),
            (
                "What is photosynthesis?",
                "Plants use sunlight, water and carbon dioxide to make sugar and oxygen.",
            ),
            ("Who wrote Don Quixote?", "The novel was written by Miguel de Cervantes and published in 1605."),
            (
                "How do I change a bicycle tyre?",
                "Take the wheel off, lever the tyre over the rim, and put in a new tube.",
            ),
            (
                "What causes earthquakes?",
                "Plates of the crust slip against each other along faults and shake the ground.",
            ),
            ("Why do cats purr?", "A cat purrs when it is content, and sometimes when it is ill or afraid."),
        ];
        let context = |request: &str| format!("Request: {request}\nText:");
        for (i, (request, text)) in pairs.iter().enumerate() {
            let (other, _) = pairs[(i + 4) % pairs.len()];
            let means = log_prob(lm, &[&context(request), &context(other), "Text:"], &format!(" {text}"));
            assert!(means[0] > means[1] && means[0] > means[2], "{request}: {means:?}");
        }
    }

    #[test]
    fn a_likelihood_is_the_same_alone_and_beside_others() {
        let Some(lm) = LM.as_ref() else { return };
        let contexts = ["Request: Why is it dark?\nText:", "Request: Why do we sleep?\nText:", ""];
        let together = log_prob(lm, &contexts, "We sleep to rest.");
        for (context, mean) in contexts.iter().zip(&together) {
            assert_eq!(log_prob(lm, &[context], "We sleep to rest."), [*mean]);
        }
        assert!(together.iter().all(|mean| (-20.0..0.0).contains(mean)), "{together:?}");
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        let Some(lm) = LM.as_ref() else { return };
        let long = "word ".repeat(9000);
        let one = ["x".to_owned()];
        assert!(matches!(lm.complete("", &long, &one, 5), Err(Refusal::Rejected(..))));
        assert!(matches!(lm.complete(&long, "", &one, 5), Err(Refusal::Rejected(..))));
        assert!(matches!(lm.complete("", "a", &one, u32::MAX), Err(Refusal::Rejected(..))));
        assert!(matches!(lm.complete("", "", &[String::new()], 5), Err(Refusal::Rejected(..))));
        assert!(matches!(lm.log_prob(&one, "", 5), Err(Refusal::Rejected(..))));
        assert!(matches!(lm.log_prob(&[long], "x", 5), Err(Refusal::Rejected(..))));
        assert_eq!(complete(lm, "", "Once upon a", &[""], 1).len(), 1);
        assert!(complete(lm, "", "Once", &[], 1).is_empty());
    }
}
