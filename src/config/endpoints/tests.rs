use super::*;

fn http() -> EndpointSettings {
    EndpointSettings {
        kind: Kind::Http,
        url: "https://api.example.com/v1".into(),
        model: "m".into(),
        ..EndpointSettings::default()
    }
}

fn told(settings: &EndpointSettings) -> String {
    settings.check("endpoints.gpt").expect_err("wrong").to_string()
}

#[test]
fn defaults_pass_and_each_mistake_names_its_key() {
    EndpointSettings::default().check("endpoints.embedded").expect("default");
    http().check("endpoints.gpt").expect("smallest");
    assert!(told(&EndpointSettings { in_flight: 0, ..http() }).contains("endpoints.gpt.in_flight, value=0"));
    assert!(told(&EndpointSettings { timeout_seconds: f64::NAN, ..http() }).contains("timeout_seconds"));
    for price in [-0.5, f64::NAN, f64::INFINITY, 2e9] {
        let wrong = told(&EndpointSettings { price_request: Some(price), ..http() });
        assert!(wrong.contains("gpt.price_request") && wrong.contains("range=0..="), "{wrong}");
    }
    assert!(told(&EndpointSettings { model: String::new(), ..http() }).contains("gpt.model"));
    assert!(told(&EndpointSettings { url: "api.example.com".into(), ..http() }).contains("gpt.url"));
    assert!(told(&EndpointSettings { kind: Kind::Embedded, ..http() }).contains("kind = \"http\""));
}

#[test]
fn shares_pairs_and_proxies_are_checked() {
    assert!(told(&EndpointSettings { weight: 0, ..http() }).contains("gpt.weight, value=0"));
    assert!(told(&EndpointSettings { priority: 101, ..http() }).contains("gpt.priority"));
    assert!(told(&EndpointSettings { pairs: vec!["spa-eng".into()], ..http() }).contains("gpt.pairs"));
    let pairs = EndpointSettings { pairs: vec!["spa_Latn-eng_Latn".into()], ..http() };
    pairs.check("endpoints.gpt").expect("a pair");
    assert_eq!(pairs.lang_pairs().len(), 1);
    for proxy in ["proxy.example.com", "ftp://h", "http://u:Secret99@h:3128"] {
        let wrong = told(&EndpointSettings { proxy: proxy.into(), ..http() });
        assert!(wrong.contains("gpt.proxy") && !wrong.contains("Secret99"), "{wrong}");
    }
    for proxy in ["none", "http://proxy.example.com:3128"] {
        EndpointSettings { proxy: proxy.into(), ..http() }.check("endpoints.gpt").expect("a proxy");
    }
}

#[test]
fn a_batch_takes_no_limits_per_minute_and_checks_its_table() {
    let batch = || EndpointSettings { kind: Kind::Batch, ..http() };
    batch().check("endpoints.gpt").expect("smallest");
    for wrong in [
        told(&EndpointSettings { requests_per_minute: Some(9), ..batch() }),
        told(&EndpointSettings { output_tokens_per_minute: Some(900), ..batch() }),
        told(&EndpointSettings { api: Api::Completions, ..batch() }),
        told(&EndpointSettings { in_flight: 9, ..batch() }),
    ] {
        assert!(wrong.contains("kind is \"batch\"") && wrong.contains("remedy="), "{wrong}");
    }
    let with = |set: &dyn Fn(&mut BatchSettings)| {
        let mut settings = batch();
        set(&mut settings.batch);
        told(&settings)
    };
    assert!(with(&|batch| batch.rows = 0).contains("gpt.batch.rows, value=0, range=1..=50000"));
    assert!(with(&|batch| batch.poll_seconds = f64::NAN).contains("gpt.batch.poll_seconds"));
    assert!(with(&|batch| batch.window = String::new()).contains("gpt.batch.window"));
    let two = |other: &str| {
        let one = |name: &str, url: &str| {
            format!("[endpoints.{name}]\nkind = 'batch'\nurl = '{url}'\nmodel = 'm'\n")
        };
        let text = format!("input = ['a']\n{}{}", one("a", "http://h/v1"), one("b", other));
        crate::config::Settings::parse(&text, &[]).and_then(|settings| settings.check())
    };
    two("http://h/v2").expect("two providers");
    let wrong = two("http://h/v1/").expect_err("one provider").to_string();
    assert!(wrong.contains("endpoints.b") && wrong.contains("endpoints.a"), "{wrong}");
}

#[test]
fn a_key_in_the_wrong_place_is_never_told() {
    for key in ["sk-proj-Secret99", "hf_Secret99", "Bearer Secret99"] {
        let wrong = told(&EndpointSettings { key_env: key.into(), ..http() });
        assert!(wrong.contains("key_env") && !wrong.contains("Secret99"), "{wrong}");
    }
    for url in ["https://u:Secret99@h/v1", "https://h/v1?key=Secret99", "Secret99"] {
        let wrong = told(&EndpointSettings { url: url.into(), ..http() });
        assert!(wrong.contains("gpt.url") && !wrong.contains("Secret99"), "{wrong}");
    }
}

#[test]
fn unknown_fields_are_refused() {
    assert!(toml::from_str::<EndpointSettings>("kind = 'scripted'").is_err());
    assert!(toml::from_str::<EndpointSettings>("inflight = 3").is_err());
}
