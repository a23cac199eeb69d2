//! The model operator against a plain asynchronous client: rows a second at a limit of requests in flight, on a server
//! on loopback with a fixed delay, both in this process. The server costs next to nothing: what the two cores bear is the client's.
//!
//! `cargo bench --bench operator [-- --quick]`. The ideal is `in_flight` / delay; the operator has its journal on.

#[path = "operator/server.rs"]
mod server;

use isogloss::config::EndpointSettings;
use isogloss::config::endpoints::Kind;
use isogloss::llm::consult::consult;
use isogloss::llm::desk::{Backend, Meter};
use isogloss::llm::http::HttpEndpoint;
use isogloss::llm::journal::Journal;
use isogloss::llm::limiter::Limiter;
use isogloss::llm::{Answer, Ask, Desk, Endpoint, Pending, Role, Trouble};
use isogloss::model::{Bundle, Epoch, Exchange, Place, Stage, Weight};
use isogloss::source::credits::Credits;
use isogloss::stage::clerk::Clerk;
use isogloss::stop::Stop;
use isogloss::telemetry::SystemClock;
use isogloss::telemetry::cpu::cpu_seconds;
use isogloss::{Error, workers};
use serde_json::json;
use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::{Operator, source};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Rows of a bundle.
const BUNDLE: u32 = 64;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Case {
    in_flight: u32,
    delay_ms: u64,
    rows: u32,
}

fn main() {
    isogloss::telemetry::memory::small_pages();
    // `cargo test --benches` runs benches without `--bench`: then a taste is enough.
    let full =
        std::env::args().any(|flag| flag == "--bench") && !std::env::args().any(|flag| flag == "--quick");
    let seconds = if full { 8 } else { 1 };
    for (in_flight, delay_ms) in [(64, 20), (64, 50), (1024, 50)] {
        let rows = u32::try_from(u64::from(in_flight) * 1000 * seconds / delay_ms).expect("few");
        let case = Case { in_flight, delay_ms, rows };
        // The server has its own thread, as it would have its own machine.
        let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
        let url = home.block_on(server::start(Duration::from_millis(delay_ms)));
        let ideal = f64::from(in_flight) * 1000.0 / delay_ms as f64;
        tell("operator/ideal", ideal, "rows/s", &case, 1.0);
        let before = cpu_seconds().unwrap_or(0.0);
        let plain = plain(&threads(), &url, &case);
        let plain_cpu = cpu_seconds().unwrap_or(0.0) - before;
        tell("operator/plain_client", plain, "rows/s", &case, plain / ideal);
        let (before, resting) = (cpu_seconds().unwrap_or(0.0), resident_bytes());
        let (operated, most) = operated(&threads(), &url, &case);
        let operated_cpu = cpu_seconds().unwrap_or(0.0) - before;
        tell("operator/operator", operated, "rows/s", &case, operated / ideal);
        // Both have the server's share in them: the difference is the operator's own.
        let per_row = |seconds: f64| seconds / f64::from(case.rows) * 1e6;
        tell("operator/plain_client_cpu", per_row(plain_cpu), "us/row", &case, 1.0);
        tell("operator/operator_cpu", per_row(operated_cpu), "us/row", &case, operated_cpu / plain_cpu);
        let held = most.saturating_sub(resting) as f64 / f64::from(case.in_flight);
        tell("operator/memory", held, "bytes/request in flight", &case, 1.0);
    }
}

/// Resident bytes of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Looks at the resident bytes every 20 ms until it is told to stop; gives the most.
fn watch(until: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let until = Arc::clone(until);
    std::thread::spawn(move || {
        let mut most = 0;
        while !until.load(Ordering::Relaxed) {
            most = most.max(resident_bytes());
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    })
}

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

fn tell(name: &str, value: f64, unit: &str, case: &Case, share: f64) {
    let line = json!({
        "name": name, "value": (value * 10.0).round() / 10.0, "unit": unit, "in_flight": case.in_flight,
        "delay_ms": case.delay_ms, "rows": case.rows, "of_ideal": (share * 1000.0).round() / 1000.0,
    });
    writeln!(std::io::stdout().lock(), "{line}").expect("stdout");
}

fn turn(text: String) -> Ask {
    Ask::Chat {
        role: Role::Translate,
        prompt: "bench-1".to_owned(),
        system: "Translate.".to_owned(),
        user: text,
        max_tokens: 99,
        temperature_milli: 0,
        schema: None,
        logprobs: false,
    }
}

fn text(row: u32) -> String {
    format!("{row} {}", "A maré sobe e desce duas vezes por dia, e a causa é a Lua. ".repeat(15))
}

/// As one would write it by hand: as many loops as requests in flight.
fn plain(runtime: &Runtime, url: &str, case: &Case) -> f64 {
    // Found installed by all but the first case.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let next = Arc::new(AtomicU32::new(0));
    let start = Instant::now();
    runtime.block_on(async {
        let mut loops = tokio::task::JoinSet::new();
        for _ in 0..case.in_flight {
            let (client, url, next) = (client.clone(), format!("{url}/chat/completions"), Arc::clone(&next));
            let rows = case.rows;
            loops.spawn(async move {
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= rows {
                        return;
                    }
                    let messages = json!([{"role": "system", "content": "Translate."}, {"role": "user", "content": format!("p{}", text(row))}]);
                    let body = json!({"model": "m", "messages": messages, "max_tokens": 99, "temperature": 0.0});
                    let page = client.post(&url).json(&body).send().await.expect("a reply");
                    let page: serde_json::Value = page.json().await.expect("json");
                    assert!(page["choices"][0]["message"]["content"].is_string());
                }
            });
        }
        while let Some(done) = loops.join_next().await {
            done.expect("no panic");
        }
    });
    f64::from(case.rows) / start.elapsed().as_secs_f64()
}

struct Asker(Desk);

impl Clerk for Asker {
    fn stage(&self) -> Stage {
        Stage::Translate
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            match self.0.ask(&turn(std::mem::take(&mut exchange.response))).await {
                Ok(Answer::Chat { text, .. }) => exchange.response_en = text,
                Ok(_) | Err(Trouble::Row(_)) => return Err(Error::bug("no answer")),
                Err(Trouble::Run(error)) => return Err(error),
            }
            Ok(())
        })
    }
}

/// Through timely, desk and journal, with four times as many rows under credits as requests in flight: rows a second, and
/// the most resident bytes.
fn operated(runtime: &Runtime, url: &str, case: &Case) -> (f64, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = EndpointSettings {
        kind: Kind::Http,
        url: url.to_owned(),
        model: "m".to_owned(),
        in_flight: case.in_flight,
        ..EndpointSettings::default()
    };
    let endpoint: Arc<dyn Endpoint> = Arc::new(HttpEndpoint::open("bench", &settings).expect("opens"));
    let journal = Journal::open(&folder.path().join("journal.redb"), Arc::new(SystemClock)).expect("opens");
    let (stop, meter) = (Stop::default(), Arc::<Meter>::default());
    let limiter = Limiter::new(settings.limits());
    let retry = settings.retry();
    let journal = Some(Arc::new(journal));
    let backends = vec![Backend::new("bench", endpoint, limiter, retry)];
    let desk = Desk::new(Role::Translate, backends, journal, stop.clone(), Arc::clone(&meter));
    let clerk: Arc<dyn Clerk> = Arc::new(Asker(desk));
    let (handle, flag, rows, in_flight) = (runtime.handle().clone(), stop.clone(), case.rows, case.in_flight);
    let over = Arc::new(AtomicBool::new(false));
    let watcher = watch(&over);
    let start = Instant::now();
    let counts = workers::run(1, &stop, move |worker| {
        let seen = Rc::new(Cell::new(0));
        let counted = Rc::clone(&seen);
        let credits = Credits::new(in_flight * 4, u64::MAX >> 1);
        let back = Rc::clone(&credits);
        worker.dataflow::<Epoch, _, _>(|scope| {
            let read = source::<_, NoopBuilder<Bundle>, _, _>(scope, "Rows", |capability, info| {
                credits.wakes(scope.activator_for(info.address));
                let mut capability = Some(capability);
                let mut first = 0;
                move |output| {
                    while let Some(held) = capability.as_ref().filter(|_| credits.open()) {
                        let end = rows.min(first + BUNDLE);
                        let made = |row| Exchange {
                            place: Place { shard: 0, row, start: 0 },
                            response: text(row),
                            ..Exchange::default()
                        };
                        let weight = Weight { rows: end - first, bytes: 0 };
                        let rows_of = (first..end).map(made).collect();
                        let mut bundle =
                            Bundle { shard: 0, serial: first, last: false, rows: rows_of, weight };
                        credits.take(weight);
                        output.session_with_builder(held).give_container(&mut bundle);
                        first = end;
                        if first == rows {
                            capability = None;
                        }
                    }
                }
            });
            consult(read, Arc::clone(&clerk), handle.clone(), flag.clone()).sink(
                Pipeline,
                "Count",
                move |(input, _)| {
                    input.for_each(|_, bundle| {
                        counted.set(counted.get() + std::mem::take(&mut bundle.rows).len());
                        back.give(bundle.weight);
                    });
                },
            );
        });
        Ok(move || Ok(seen.get()))
    });
    let took = start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    assert_eq!(counts.expect("complete"), [case.rows as usize]);
    (f64::from(case.rows) / took, watcher.join().expect("no panic"))
}
