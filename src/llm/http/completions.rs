//! Completions of plain text, as OpenAI, vLLM, `SGLang`, llama.cpp and TGI speak them, for models that do not chat.
//!
//! **Why**: forced openers and the log-probability of a text are asked of base models, here as of the embedded one. One
//! request carries all openers or contexts of an ask. Log-probabilities need a server that echoes the prompt.

use super::chat::{Count, counted, of_no_use};
use super::endpoint::HttpEndpoint;
use crate::error::Error;
use crate::llm::{Answer, Ask, Completion, Refusal, Reply, Usage};
use crate::model::Reason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a [String],
    max_tokens: u32,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Count>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<LogProbs>,
}

#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    token_logprobs: Vec<Option<f64>>,
    /// Where each token begins, in characters.
    #[serde(default)]
    text_offset: Vec<usize>,
}

/// Asks completions, or the log-probability of a text.
///
/// # Errors
/// A [`Refusal`].
pub async fn ask(endpoint: &HttpEndpoint, ask: &Ask) -> Result<Reply, Refusal> {
    let (prompts, max_tokens) = match ask {
        Ask::Complete { prefix, prompt, openers, max_tokens } => {
            (openers.iter().map(|opener| format!("{prefix}{prompt}{opener}")).collect(), *max_tokens)
        }
        // One token more than nothing: many servers refuse to write none.
        Ask::LogProb { contexts, text, .. } => {
            (contexts.iter().map(|context| format!("{context}{text}")).collect::<Vec<String>>(), 1)
        }
        _ => return Err(Refusal::Fatal(Error::bug("completions asked otherwise"))),
    };
    if prompts.is_empty() {
        return Err(Refusal::Rejected(Reason::Rejected, "nothing to complete".to_owned()));
    }
    let weighs = matches!(ask, Ask::LogProb { .. });
    let body = Body {
        model: &endpoint.model,
        prompt: &prompts,
        max_tokens,
        temperature: endpoint.temperature.unwrap_or(0.0),
        stop: (!weighs).then_some(["\n"]),
        echo: weighs.then_some(true),
        logprobs: weighs.then_some(1),
        extra: &endpoint.extra,
    };
    let page: Page = endpoint.wire.post(&endpoint.urls.completions, &body).await?;
    let billed = page.usage.map(|count| count.or(Usage::default));
    let same = endpoint.same_model(page.model.as_deref());
    let reply = same.and_then(|()| page.reply(endpoint, ask, &prompts));
    reply.map_err(|refusal| of_no_use(refusal, billed))
}

fn garbled(what: &str) -> Refusal {
    Refusal::Transient(Reason::Garbled, format!("completions {what}"))
}

impl Page {
    fn reply(self, endpoint: &HttpEndpoint, ask: &Ask, prompts: &[String]) -> Result<Reply, Refusal> {
        if let Some(error) = self.error.filter(|error| !error.is_null()) {
            return Err(endpoint.wire.told(&error));
        }
        let mut choices = self.choices.unwrap_or_default();
        // In the order of the prompts, whatever order they finished in.
        choices.sort_by_key(|choice| choice.index.unwrap_or(0));
        let ordered = choices.iter().enumerate().all(|(at, choice)| choice.index.unwrap_or(at) == at);
        if choices.len() != prompts.len() || !ordered {
            return Err(garbled("are not one per prompt"));
        }
        let guessed = || Usage {
            input_tokens: endpoint.counter.input_of(ask),
            output_tokens: match ask {
                Ask::LogProb { .. } => 0,
                _ => choices.iter().map(|choice| endpoint.counter.count(&choice.text)).sum(),
            },
        };
        let usage = counted(self.usage, guessed);
        let answer = match ask {
            Ask::LogProb { contexts, text, most_tokens } => {
                let pairs = choices.iter().zip(contexts);
                let values = pairs.map(|(choice, context)| mean(choice, context, text, *most_tokens));
                Answer::LogProbs(values.collect::<Result<_, _>>()?)
            }
            _ => Answer::Completions(choices.into_iter().map(completion).collect()),
        };
        Ok(Reply { answer, usage })
    }
}

/// A completion up to its newline: some servers send it along, some go on behind it.
fn completion(choice: Choice) -> Completion {
    if let Some((line, _)) = choice.text.split_once('\n') {
        return Completion { text: line.to_owned(), ended: true };
    }
    let ends = ["stop", "stop_sequence", "eos_token", "eos"];
    let ended = choice.finish_reason.is_some_and(|reason| ends.contains(&reason.as_str()));
    Completion { text: choice.text, ended }
}

/// The mean over the first `most` tokens that begin within the text, in nats per token.
fn mean(choice: &Choice, context: &str, text: &str, most: u32) -> Result<f64, Refusal> {
    let Some(logprobs) = &choice.logprobs else {
        return Err(Refusal::Rejected(
            Reason::Rejected,
            "the server does not echo log-probabilities: remedy=score.method of digits, or another server"
                .to_owned(),
        ));
    };
    if logprobs.text_offset.len() != logprobs.token_logprobs.len() {
        return Err(garbled("do not say where their tokens are"));
    }
    let start = context.chars().count();
    let end = start + text.chars().count();
    let tokens = logprobs.text_offset.iter().zip(&logprobs.token_logprobs);
    // The very first token of a prompt has no log-probability.
    let own = tokens.filter(|(at, _)| (start..end).contains(*at)).filter_map(|(_, value)| *value);
    let values: Vec<f64> = own.take(most as usize).collect();
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return Err(garbled("have no log-probability of the text"));
    }
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EndpointSettings;
    use crate::config::endpoints::{Api, Kind};

    fn read(page: &str, ask: &Ask, prompts: usize) -> Result<Reply, Refusal> {
        let settings = EndpointSettings {
            kind: Kind::Http,
            url: "http://127.0.0.1:9/v1".into(),
            model: "m".into(),
            api: Api::Completions,
            ..EndpointSettings::default()
        };
        let endpoint = HttpEndpoint::open("base", &settings).expect("opens");
        let page: Page = serde_json::from_str(page).expect("json");
        page.reply(&endpoint, ask, &vec![String::new(); prompts])
    }

    #[test]
    fn completions_come_in_the_order_of_their_openers() {
        let ask = Ask::Complete {
            prefix: String::new(),
            prompt: String::new(),
            openers: vec!["a".into(), "b".into(), "c".into()],
            max_tokens: 9,
        };
        let page = r#"{"choices":[{"index":2,"text":" z\nmore","finish_reason":"length"},
            {"index":0,"text":" x","finish_reason":"stop"},{"index":1,"text":" y","finish_reason":"length"}]}"#;
        let Answer::Completions(all) = read(page, &ask, 3).expect("a reply").answer else {
            panic!("completions")
        };
        let told: Vec<(&str, bool)> = all.iter().map(|one| (one.text.as_str(), one.ended)).collect();
        assert_eq!(told, [(" x", true), (" y", false), (" z", true)]);
        for broken in [r#"{"choices":[{"text":"x"}]}"#, r#"{"choices":null}"#, "{}"] {
            assert!(matches!(read(broken, &ask, 3), Err(Refusal::Transient(Reason::Garbled, _))), "{broken}");
        }
        let twice = r#"{"choices":[{"index":0,"text":"x"},{"index":0,"text":"y"},{"index":1,"text":"z"}]}"#;
        assert!(read(twice, &ask, 3).is_err());
    }

    #[test]
    fn the_gain_is_over_the_count_of_the_text_alone() {
        let ask =
            |most_tokens| Ask::LogProb {
                contexts: vec!["Ás: ".into()], text: "um dois".into(), most_tokens
            };
        // `Ás`, `: `, `um`, ` dois`, and the token that had to be written.
        let page = r#"{"choices":[{"text":"Ás: um dois!","logprobs":{"tokens":["Ás",": ","um"," dois","!"],
            "token_logprobs":[null,-9.0,-1.0,-2.0,-7.0],"text_offset":[0,2,4,6,11]}}]}"#;
        let value = |most| match read(page, &ask(most), 1).expect("a reply").answer {
            Answer::LogProbs(values) => values,
            _ => panic!("log-probabilities"),
        };
        assert_eq!((value(9), value(1)), (vec![-1.5], vec![-1.0]));
        let none = r#"{"choices":[{"text":"x"}]}"#;
        assert!(matches!(read(none, &ask(1), 1), Err(Refusal::Rejected(..))));
        let odd = r#"{"choices":[{"text":"x","logprobs":{"token_logprobs":[-1.0],"text_offset":[]}}]}"#;
        assert!(matches!(read(odd, &ask(1), 1), Err(Refusal::Transient(Reason::Garbled, _))));
    }
}
