use super::*;
use crate::config::EndpointSettings;
use crate::config::endpoints::Kind;
use crate::llm::{Endpoint, Role};

fn endpoint(set: impl Fn(&mut EndpointSettings)) -> HttpEndpoint {
    let mut settings = EndpointSettings {
        kind: Kind::Http,
        url: "http://127.0.0.1:9/v1".into(),
        model: "m".into(),
        ..EndpointSettings::default()
    };
    set(&mut settings);
    HttpEndpoint::open("gpt", &settings).expect("opens")
}

fn turn(schema: Option<&str>, logprobs: bool) -> Ask {
    Ask::Chat {
        role: Role::Score,
        prompt: "score-1".into(),
        system: "sys".into(),
        user: "user text".into(),
        max_tokens: 8,
        temperature_milli: 700,
        schema: schema.map(str::to_owned),
        logprobs,
    }
}

fn sent(endpoint: &HttpEndpoint, ask: &Ask) -> Value {
    let body = body(endpoint, ask).expect("a body");
    serde_json::to_value(&body).expect("json")
}

fn read(page: &str) -> Result<Reply, Refusal> {
    serde_json::from_str::<Page>(page).expect("json").reply(&endpoint(|_| {}), &turn(None, true))
}

#[test]
fn the_body_is_what_the_api_says() {
    let plain = json!({
        "model": "m", "max_tokens": 8, "temperature": 0.7,
        "messages": [{"role": "system", "content": "sys"}, {"role": "user", "content": "user text"}],
    });
    let schema = Some("{\"type\":\"object\"}");
    assert_eq!(sent(&endpoint(|_| {}), &turn(schema, false)), plain);
    let all = sent(
        &endpoint(|settings| {
            settings.schema_mode = SchemaMode::JsonSchema;
            settings.temperature = Some(1.0);
            settings.token_limit = TokenLimit::MaxCompletionTokens;
            settings.extra =
                toml::from_str("top_p = 0.9\nchat_template_kwargs = { thinking = false }").expect("toml");
        }),
        &turn(schema, true),
    );
    let format = json!({"type": "json_schema", "json_schema": {"name": "reply", "strict": true, "schema": {"type": "object"}}});
    assert_eq!(all["response_format"], format);
    assert_eq!((&all["temperature"], &all["max_completion_tokens"]), (&json!(1.0), &json!(8)));
    assert_eq!((&all["logprobs"], &all["top_logprobs"]), (&json!(true), &json!(20)));
    assert_eq!((&all["top_p"], &all["chat_template_kwargs"]["thinking"]), (&json!(0.9), &json!(false)));
    assert_eq!(all.get("max_tokens"), None);
}

#[test]
fn replies_of_several_servers_are_understood() {
    let full = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"4","refusal":null},
        "logprobs":{"content":[{"token":"4","logprob":-0.4,"top_logprobs":[{"token":"3","logprob":-1.2,"bytes":[51]},
        {"token":"4","logprob":-0.4}]}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":1}}"#;
    let reply = read(full).expect("a reply");
    let Answer::Chat { text, finish, first } = reply.answer else { panic!("chat") };
    assert_eq!((text.as_str(), finish), ("4", Finish::Stop));
    assert_eq!(first.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(), ["4", "3"]);
    assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (31, 1));

    let bare = read(r#"{"choices":[{"message":{"content":"four words of text"}}]}"#).expect("a reply");
    assert_eq!((bare.usage.input_tokens, bare.usage.output_tokens), (4, 5));
    let ends = |page: &str| match read(page).expect("a reply").answer {
        Answer::Chat { text, finish, .. } => (text, finish),
        _ => panic!("chat"),
    };
    let length = r#"{"choices":[{"message":{"content":"cut"},"finish_reason":"length","logprobs":null}],"usage":null}"#;
    assert_eq!(ends(length), ("cut".into(), Finish::Length));
    let filtered = r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#;
    assert_eq!(ends(filtered), (String::new(), Finish::Filtered));
    let refused = r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#;
    assert_eq!(ends(refused), ("No.".into(), Finish::Filtered));
    let parts =
        r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#;
    assert_eq!(ends(parts), ("ab".into(), Finish::Stop));
}

#[test]
fn a_page_without_an_answer_is_tried_again() {
    for page in [r#"{"choices":[]}"#, r#"{"error":{"message":"overloaded\u001b[2J"}}"#, "{}"] {
        assert!(matches!(read(page), Err(Refusal::Transient(_, told)) if !told.contains('\x1b')), "{page}");
    }
    let busy = r#"{"error":{"code":429,"message":"slow down"},"choices":null}"#;
    assert!(matches!(read(busy), Err(Refusal::Busy { .. })));
    let broken = r#"{"choices":[{"message":{"content":"hal"},"finish_reason":"error"}]}"#;
    assert!(matches!(read(broken), Err(Refusal::Transient(Reason::GaveUp, _))));
}

#[test]
fn each_schema_mode_speaks_its_servers_dialect() {
    let object = json!({"type": "object"});
    let forms = [
        (SchemaMode::None, json!({})),
        (SchemaMode::JsonObject, json!({"response_format": {"type": "json_object"}})),
        (SchemaMode::JsonObjectSchema, json!({"response_format": {"type": "json_object", "schema": object}})),
        (SchemaMode::Json, json!({"response_format": {"type": "json", "value": object}})),
        (SchemaMode::GuidedJson, json!({"guided_json": object})),
        (SchemaMode::StructuredOutputs, json!({"structured_outputs": {"json": object}})),
    ];
    let keys = ["response_format", "guided_json", "structured_outputs"];
    for (mode, form) in forms {
        let asked = endpoint(|settings| settings.schema_mode = mode);
        let body = sent(&asked, &turn(Some("{\"type\":\"object\"}"), false));
        for key in keys {
            assert_eq!(body.get(key), form.get(key), "{mode:?}");
        }
        // A turn without a schema is asked alike in every mode.
        let free = sent(&asked, &turn(None, false));
        assert!(keys.iter().all(|key| free.get(key).is_none()), "{mode:?}");
    }
}

#[test]
fn thoughts_before_a_reply_are_left_out() {
    let of = |content: &str| {
        let page = json!({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]});
        match read(&page.to_string()).expect("a reply").answer {
            Answer::Chat { text, finish, .. } => (text, finish),
            _ => panic!("chat"),
        }
    };
    assert_eq!(of("<think>\nhm\n</think>\n\n4"), ("4".into(), Finish::Stop));
    assert_eq!(of("<think>\nhm, the limit"), (String::new(), Finish::Length));
    assert_eq!(of("I <think> so"), ("I <think> so".into(), Finish::Stop));
}

#[test]
fn counts_that_are_missing_are_guessed() {
    let nothing = r#"{"choices":[{"message":{"content":"four words of text"}}],"usage":{"prompt_tokens":null,"completion_tokens":0}}"#;
    let usage = read(nothing).expect("a reply").usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (4, 5));
}

#[test]
fn a_tokenizer_counts_what_the_server_does_not() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, crate::llm::tokens::tests::WORDS).expect("written");
    let endpoint = endpoint(|settings| settings.tokenizer = Some(path.clone()));
    let ask = turn(None, false);
    let usage = |page: &str| {
        let page: Page = serde_json::from_str(page).expect("json");
        let usage = page.reply(&endpoint, &ask).expect("a reply").usage;
        (usage.input_tokens, usage.output_tokens)
    };
    // `sys`, `user`, `text`.
    assert_eq!(usage(r#"{"choices":[{"message":{"content":"four words of text"}}]}"#), (3, 4));
    let told =
        r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":40,"completion_tokens":7}}"#;
    assert_eq!(usage(told), (40, 7));
    assert_eq!(endpoint.counter().most_of(&ask).input_tokens, 3);
}
