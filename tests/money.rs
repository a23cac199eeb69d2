//! What a run costs, and the most that it may: the bill is what the server counted, a budget ends a run before it is
//! overspent, and a run with a greater one goes on from there. Prices and budgets change no row.

#[path = "support/by_script.rs"]
mod by_script;
#[path = "support/models.rs"]
mod models;
#[path = "support/patience.rs"]
mod patience;

use by_script::ByScript;
use isogloss::config::Settings;
use isogloss::curate::{Given, Outcome, curate};
use isogloss::stop::Stop;
use isogloss::{ErrorKind, Result};
use models::Models;
use patience::patient;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Prices in millionths of the currency per token or request: read, written, request.
const PRICES: (u64, u64, u64) = (2, 7, 300);

/// What one chat reply of the server counts, read and written; an embedding counts 9 and none.
const CHAT: (u64, u64) = (11, 5);
const EMBED: u64 = 9;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn run(server: &Models, output: &Path, runtime: &Runtime, sets: &[String]) -> Result<Outcome> {
    let priced: Vec<String> =
        ["endpoints.m.price_input=2", "endpoints.m.price_output=7", "endpoints.m.price_request=0.0003"]
            .map(str::to_owned)
            .into_iter()
            .chain(sets.iter().cloned())
            .collect();
    let mut settings = Settings::parse(&server.settings(), &priced).expect("valid");
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    // Of these, the server's answers do not depend on the secret of the state.
    settings.input =
        ["por_Latn", "rus_Cyrl", "ell_Grek"].map(|lang| corpora.join(lang).display().to_string()).to_vec();
    output.clone_into(&mut settings.output);
    let given = Given { endpoints: None, identifier: Some(Arc::new(ByScript)) };
    patient(|| curate(settings.clone(), given.clone(), runtime.handle(), &Stop::default()))
}

/// What the server counted so far: chat replies, embeddings.
fn counted(server: &Models) -> (u64, u64) {
    let bill = server.bill();
    let of = |part: &[u8]| -> u64 {
        let asked = bill.answered.iter();
        let asked = asked.filter(|(body, _)| body.windows(part.len()).any(|window| window == part));
        asked.map(|(_, times)| u64::from(*times)).sum()
    };
    let chat = of(b"\"messages\":[");
    (chat, u64::from(bill.all()) - chat)
}

/// Tokens, and millionths of the currency, of so many replies.
fn price((chat, embed): (u64, u64)) -> (u64, u64) {
    let (read, written) = (chat * CHAT.0 + embed * EMBED, chat * CHAT.1);
    (read + written, read * PRICES.0 + written * PRICES.1 + (chat + embed) * PRICES.2)
}

#[test]
fn the_bill_is_what_the_server_counted_and_prices_change_nothing() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a folder"));
    let server = runtime.block_on(Models::start(Duration::ZERO));
    let outcome = run(&server, folder.path(), &runtime, &[]).expect("a run");
    let seen = counted(&server);
    assert!(seen.0 > 60 && seen.1 > 20, "{seen:?}");
    let (tokens, micro) = price(seen);
    let bill = &outcome.costs.bill;
    let sum = |of: &dyn Fn(&isogloss::llm::desk::Billed) -> u64| -> u64 {
        bill.iter().map(|line| of(&line.billed)).sum()
    };
    assert_eq!(sum(&|billed| billed.requests), seen.0 + seen.1);
    assert_eq!(sum(&|billed| billed.replies), seen.0 + seen.1);
    assert_eq!(sum(&|billed| billed.input_tokens + billed.output_tokens), tokens);
    assert_eq!(outcome.costs.sum().money.nano(), micro * 1000);
    assert_eq!(sum(&|billed| billed.money.nano()), micro * 1000);
    // The second pass is answered by the journal, for nothing.
    assert!(sum(&|billed| billed.cached) > 0);
    assert!(bill.iter().all(|line| line.endpoint == "m"));
    for lang in ["rus_Cyrl", "ell_Grek", "por_Latn"] {
        assert!(
            bill.iter().any(|line| line.lang == lang && line.billed.money.nano() > 0),
            "{lang}: {bill:?}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&outcome.json().expect("encoded")).expect("json");
    assert_eq!(json["costs"].as_array().expect("lines").len(), bill.len());
    assert!((json["money"].as_f64().expect("a number") * 1e6 - micro as f64).abs() < 1e-3);

    let dear = ["endpoints.m.price_input=900".to_owned(), "budget.calls=0".to_owned()];
    let again = run(&server, folder.path(), &runtime, &dear).expect("nothing to do");
    assert!(!again.ran && again.manifest.digest == outcome.manifest.digest);
    // From scratch out of the journal, with nothing to spend.
    std::fs::remove_dir_all(folder.path().join("current"))
        .or_else(|_| std::fs::remove_file(folder.path().join("current")))
        .expect("gone");
    let afresh = run(&server, folder.path(), &runtime, &dear).expect("cached answers cost nothing");
    assert!(afresh.ran && afresh.manifest.digest == outcome.manifest.digest);
    assert_eq!(afresh.costs.sum().money.nano(), 0);
    assert_eq!(counted(&server), seen);
}

#[test]
fn a_budget_ends_a_run_before_it_is_overspent_and_a_greater_one_resumes() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a folder"));
    let calm = runtime.block_on(Models::start(Duration::ZERO));
    let whole = run(&calm, &folder.path().join("calm"), &runtime, &[]).expect("a run");
    let all = counted(&calm);
    let (tokens, micro) = price(all);
    // What is set aside for one ask is more than what it costs here, so the last steps are wide.
    for (limit, of_all) in [("calls", all.0 + all.1), ("tokens", tokens), ("money", micro)] {
        let server = runtime.block_on(Models::start(Duration::from_millis(1)));
        let output = folder.path().join(limit);
        let (mut stops, mut before) = (0, 0);
        let last = loop {
            let most = of_all * (3 + stops * stops) / 8 + if limit == "calls" { 0 } else { 2000 };
            let value = if limit == "money" { format!("{}", most as f64 / 1e6) } else { most.to_string() };
            let ended = run(&server, &output, &runtime, &[format!("budget.{limit}={value}")]);
            let seen = counted(&server);
            let now = match limit {
                "calls" => seen.0 + seen.1,
                "tokens" => price(seen).0,
                _ => price(seen).1,
            };
            assert!(now - before <= most, "{limit}: {} of {most} spent", now - before);
            before = now;
            match ended {
                Ok(outcome) => break outcome,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
                    assert_eq!(error.kind().exit_code(), 6);
                    let told = error.to_string();
                    assert!(
                        told.contains(&format!("key=budget.{limit}")) && told.contains("remedy=raise"),
                        "{told}"
                    );
                    assert!(!output.join("current").exists(), "nothing half done is shown");
                    assert!(counted(&server) != (0, 0), "nothing was asked: {told}");
                }
            }
            stops += 1;
            assert!(stops < 20, "{limit} does not end");
        };
        assert!(stops > 0, "{limit} never ended a run");
        assert_eq!(last.manifest.digest, whole.manifest.digest, "{limit}");
        assert_eq!((counted(&server), server.bill().again()), (all, 0), "{limit}: each ask once");
    }
}
