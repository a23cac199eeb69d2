//! Real servers, where the environment names them: nothing here runs by itself.
//!
//! ```text
//! llama-server -m SmolLM2-135M-Instruct.gguf --port 8080 &
//! ISOGLOSS_LIVE_CHAT=http://127.0.0.1:8080/v1 ISOGLOSS_LIVE_CHAT_MODEL=smollm2 \
//! ISOGLOSS_LIVE_EMBED=http://127.0.0.1:8081/v1 ISOGLOSS_LIVE_EMBED_MODEL=e5-small \
//!     cargo test --test model_operator live -- --ignored --nocapture
//! ```

use super::*;

fn named(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "an opt-in test is told where its servers are")]
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

fn live(role: &str) -> Option<EndpointSettings> {
    let url = named(&format!("ISOGLOSS_LIVE_{role}"))?;
    let model = named(&format!("ISOGLOSS_LIVE_{role}_MODEL")).unwrap_or_else(|| "default".to_owned());
    Some(EndpointSettings {
        kind: Kind::Http,
        url,
        model,
        answers_as: vec!["*".to_owned()],
        schema_mode: isogloss::config::endpoints::SchemaMode::JsonSchema,
        ..EndpointSettings::default()
    })
}

#[test]
#[ignore = "needs a server: see the top of tests/operator/live.rs"]
fn a_live_chat_server_answers_once_and_keeps_the_schema() {
    let Some(settings) = live("CHAT") else { panic!("ISOGLOSS_LIVE_CHAT is not set") };
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let schema = r#"{"type":"object","properties":{"score":{"type":"integer","enum":[1,2,3,4,5]}},"required":["score"],"additionalProperties":false}"#;
    let ask = |schema: Option<&str>, logprobs: bool| Ask::Chat {
        role: Role::Score,
        prompt: "live-1".to_owned(),
        system: "You judge pairs of a request and an answer.".to_owned(),
        user: "Request: Why is the sky blue?\nAnswer: Short waves scatter most.\nScore from 1 to 5?"
            .to_owned(),
        max_tokens: 64,
        temperature_milli: 0,
        schema: schema.map(str::to_owned),
        logprobs,
    };
    let run = run_of(&settings, &folder.path().join("journal.redb"));
    runtime.block_on(async {
        for _ in 0..2 {
            let Ok(Answer::Chat { text, .. }) = run.desk.ask(&ask(Some(schema), false)).await else {
                panic!("a turn")
            };
            let object: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
            assert!((1..=5).contains(&object["score"].as_u64().expect("a number")), "{text}");
            let Ok(Answer::Chat { first, .. }) = run.desk.ask(&ask(None, true)).await else {
                panic!("a turn")
            };
            assert!(first.iter().all(|token| token.logprob <= 1e-6), "{first:?}");
        }
    });
    let figures = run.meter.figures(Role::Translate);
    assert_eq!((figures.calls, figures.cached), (2, 2));
    assert!(figures.input_tokens > 10 && figures.output_tokens > 0, "{figures:?}");
}

#[test]
#[ignore = "needs a server: see the top of tests/operator/live.rs"]
fn a_live_embeddings_server_tells_near_from_far() {
    let Some(settings) = live("EMBED") else { panic!("ISOGLOSS_LIVE_EMBED is not set") };
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(&settings, &folder.path().join("journal.redb"));
    let vector = |text: &str| {
        let answer = runtime().block_on(run.desk.ask(&Ask::Embed { text: text.to_owned() }));
        let Ok(Answer::Vector(vector)) = answer else { panic!("a vector") };
        vector
    };
    let (tides, moon, tax) = (
        vector("The tides follow the Moon."),
        vector("The Moon pulls the oceans, and tides rise."),
        vector("The tax return is due in April."),
    );
    let cosine = |a: &[i8], b: &[i8]| isogloss::stage::score::cosine(a, b).expect("of one size");
    assert!(cosine(&tides, &moon) > cosine(&tides, &tax));
}
