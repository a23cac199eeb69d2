//! A provider with a batch API on loopback: it answers lines by asking another server, at times that a test sets, and badly
//! where a test wants it.

use crate::harness::models::loopback::serve;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Every line is answered.
    Plain,
    /// Every other line is; then it expires.
    Expires,
    /// One line in six is answered well, the others in the ways that there are, and there are lines of nobody.
    Garbles,
    /// It is not taken.
    Fails,
    /// It is taken, and the reply that says so is lost.
    Lost,
    /// As before, and no reply comes at all.
    Silent,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    id: String,
    tag: Value,
    file: String,
    status: &'static str,
    output: Option<String>,
    errors: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    files: BTreeMap<String, Vec<u8>>,
    /// Files that came.
    uploads: usize,
    pub(crate) batches: Vec<Held>,
    /// Of the batches to come, the first first; those after them are plain.
    moods: Vec<Mood>,
    /// Whether batches stay as they are.
    pub(crate) held: bool,
    /// Lines that came.
    pub(crate) lines: usize,
    /// So many lists of batches are told empty: they are late.
    pub(crate) late_lists: usize,
    /// So many batches are gone, the first ones.
    pub(crate) gone: usize,
    /// Files come in so many pieces, with a pause before each.
    pub(crate) slowly: Option<(usize, Duration)>,
    /// Files that somebody began to read.
    pub(crate) read: usize,
}

impl Seen {
    fn is_gone(&self, id: &str) -> bool {
        self.batches.iter().take(self.gone).any(|held| held.id == id)
    }
}

/// A running provider; it ends with its runtime.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) url: String,
    models: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Provider {
    /// Starts one that lets `models` answer.
    pub(crate) async fn start(models: &str, moods: &[Mood]) -> Self {
        let seen = Seen { moods: moods.iter().rev().copied().collect(), ..Seen::default() };
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        let mut ours =
            Self { url: String::new(), models: models.to_owned(), client, seen: Arc::new(Mutex::new(seen)) };
        let serving = ours.clone();
        ours.url = serve(move |request| handle(serving.clone(), request)).await;
        ours
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    /// Batches that were submitted.
    pub(crate) fn batches(&self) -> usize {
        self.seen().batches.len()
    }

    /// Works on all batches that were held, and on those to come at once.
    pub(crate) async fn release(&self) {
        let ids: Vec<String> = {
            let mut seen = self.seen();
            seen.held = false;
            seen.batches
                .iter()
                .filter(|held| held.status == "in_progress")
                .map(|held| held.id.clone())
                .collect()
        };
        for id in ids {
            self.work(&id, Mood::Plain).await;
        }
    }

    /// Settings that send the vectors to it, too, to an endpoint of their own.
    pub(crate) fn sets_of_vectors(&self) -> Vec<String> {
        let mut sets = self.sets();
        let of_vectors: Vec<String> = sets
            .iter()
            .filter_map(|set| set.strip_prefix("endpoints.b."))
            .map(|set| format!("endpoints.v.{set}"))
            .collect();
        sets.extend(of_vectors);
        sets.extend(["roles.embed=v".to_owned(), "endpoints.v.batch.endpoint=/v1/embeddings".to_owned()]);
        sets
    }

    /// Settings that send every role that chats to it.
    pub(crate) fn sets(&self) -> Vec<String> {
        let roles = ["translate", "instruct", "score", "localize"].map(|role| format!("roles.{role}=b"));
        let endpoint = [
            "kind=batch".to_owned(),
            format!("url={}", self.url),
            "model=echo".to_owned(),
            "timeout_seconds=3".to_owned(),
            "batch.gather_seconds=0.05".to_owned(),
            "batch.poll_seconds=0.02".to_owned(),
        ];
        roles.into_iter().chain(endpoint.map(|line| format!("endpoints.b.{line}"))).collect()
    }

    async fn answered(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.models);
        let sent = self.client.post(url).body(body.to_string()).send().await.expect("a reply");
        serde_json::from_slice(&sent.bytes().await.expect("a body")).expect("JSON")
    }

    async fn work(&self, id: &str, mood: Mood) {
        let input = {
            let mut seen = self.seen();
            let file = seen.batches.iter().find(|held| held.id == id).expect("a batch").file.clone();
            seen.files.remove(&file).expect("a file")
        };
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        for (at, line) in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let line: Value = serde_json::from_slice(line).expect("a line of JSON");
            let id = &line["custom_id"];
            let path = if line["body"]["messages"].is_array() { "chat/completions" } else { "embeddings" };
            assert_eq!((&line["method"], &line["url"]), (&"POST".into(), &format!("/v1/{path}").into()));
            let failed = |code: u16, said: &str| {
                json!({ "custom_id": id, "response": { "status_code": code, "body": { "error": said } } })
                    .to_string()
            };
            let way = match mood {
                Mood::Expires => [0, 9][at % 2],
                Mood::Garbles => at % 6,
                _ => 0,
            };
            match way {
                1 => output.push(format!("{{\"custom_id\": {id}, \"respon").into_bytes()),
                2 => errors.push(failed(500, "again")),
                3 => {}
                4 => errors.push(failed(429, "slowly")),
                5 => errors.push(json!({ "custom_id": id, "response": null, "error": null }).to_string()),
                9 => errors.push(
                    json!({ "custom_id": id, "response": null, "error": { "code": "batch_expired" } })
                        .to_string(),
                ),
                _ => {
                    let body = self.answered(path, &line["body"]).await;
                    let reply = json!({
                        "id": "r", "custom_id": id, "error": null, "response": { "status_code": 200, "body": body }
                    });
                    output.push(reply.to_string().into_bytes());
                    if mood == Mood::Garbles {
                        let twice =
                            json!({ "custom_id": id, "response": { "status_code": 200, "body": {} } });
                        output.push(twice.to_string().into_bytes());
                        output.push(b"\xff\xfe { \0 }".to_vec());
                        output.push(b"{\"custom_id\":\"ffffffffffffffffffffffffffffffff\"}".to_vec());
                    }
                }
            }
        }
        let mut seen = self.seen();
        let (out, err) = (format!("{id}-out"), format!("{id}-err"));
        // The last line has no end.
        seen.files.insert(out.clone(), output.join(&b'\n'));
        seen.files.insert(err.clone(), errors.join("\n").into_bytes());
        let held = seen.batches.iter_mut().find(|held| held.id == id).expect("a batch");
        held.status = if mood == Mood::Expires { "expired" } else { "completed" };
        (held.output, held.errors) = (Some(out), (!errors.is_empty()).then_some(err));
    }
}

/// A body in pieces, with a pause before each of them if there are several.
struct Pieces {
    left: Vec<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { left: vec![bytes.into()], pause: Duration::ZERO, sleep: None }
    }

    fn slowly(bytes: Bytes, (pieces, pause): (usize, Duration)) -> Self {
        let length = bytes.len().div_ceil(pieces).max(1);
        let left = bytes.chunks(length).rev().map(Bytes::copy_from_slice).collect();
        Self { left, pause, sleep: Some(Box::pin(tokio::time::sleep(pause))) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = Some(Box::pin(tokio::time::sleep(self.pause)));
        }
        Poll::Ready(self.left.pop().map(|piece| Ok(Frame::data(piece))))
    }
}

fn told(held: &Held) -> Value {
    let errors = (held.status == "failed")
        .then(|| json!({ "data": [{ "code": "invalid_model", "message": "no such model" }] }));
    json!({
        "id": held.id, "status": held.status, "metadata": { "isogloss": held.tag },
        "output_file_id": held.output, "error_file_id": held.errors, "errors": errors,
    })
}

async fn handle(provider: Provider, request: Request<Incoming>) -> io::Result<Response<Pieces>> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let form = request.headers()["content-type"].to_str().expect("text").to_owned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let path: Vec<&str> = uri.path().trim_start_matches("/v1/").split('/').collect();
    let said = match (method, path.as_slice()) {
        (Method::POST, ["files"]) => {
            let boundary = form.split_once("boundary=").expect("a form in parts").1;
            let lines = lines_of(&body, boundary);
            let mut seen = provider.seen();
            let id = format!("file-{}", seen.uploads);
            seen.uploads += 1;
            seen.lines += lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            seen.files.insert(id.clone(), lines);
            json!({ "id": id })
        }
        (Method::POST, ["batches"]) => return created(&provider, &body).await,
        (Method::GET, ["batches"]) => {
            let mut seen = provider.seen();
            let late = seen.late_lists > 0;
            seen.late_lists = seen.late_lists.saturating_sub(1);
            // The newest first, two to a page.
            let after = uri.query().and_then(|query| query.split_once("after=")).map(|(_, after)| after);
            let mut all = seen.batches.iter().filter(|_| !late).rev();
            if let Some(after) = after {
                all.by_ref().take_while(|held| held.id != after).for_each(drop);
            }
            let page: Vec<Value> = all.by_ref().take(2).map(told).collect();
            json!({ "data": page, "has_more": all.next().is_some() })
        }
        (Method::GET, ["batches", id]) if provider.seen().is_gone(id) => {
            let gone = Response::builder().status(404);
            return gone.body(Pieces::whole("{}")).map_err(io::Error::other);
        }
        (Method::GET, ["batches", id]) => {
            told(provider.seen().batches.iter().find(|held| held.id == *id).expect("a batch"))
        }
        (Method::GET, ["files", id, "content"]) => {
            let mut seen = provider.seen();
            seen.read += 1;
            let bytes = Bytes::from(seen.files[*id].clone());
            let body = match seen.slowly {
                Some(slowly) => Pieces::slowly(bytes, slowly),
                None => Pieces::whole(bytes),
            };
            return Response::builder().body(body).map_err(io::Error::other);
        }
        other => panic!("no such request: {other:?}"),
    };
    Response::builder().body(Pieces::whole(said.to_string())).map_err(io::Error::other)
}

async fn created(provider: &Provider, body: &[u8]) -> io::Result<Response<Pieces>> {
    let asked: Value = serde_json::from_slice(body).map_err(io::Error::other)?;
    assert_eq!(asked["completion_window"], "24h");
    let (held, mood, work) = {
        let mut seen = provider.seen();
        let mood = seen.moods.pop().unwrap_or(Mood::Plain);
        let held = Held {
            id: format!("batch-{}", seen.batches.len()),
            tag: asked["metadata"]["isogloss"].clone(),
            file: asked["input_file_id"].as_str().expect("a file").to_owned(),
            status: if mood == Mood::Fails { "failed" } else { "in_progress" },
            output: None,
            errors: None,
        };
        seen.batches.push(held.clone());
        (held, mood, mood != Mood::Fails && !seen.held)
    };
    if work {
        let (provider, id) = (provider.clone(), held.id.clone());
        tokio::spawn(async move { provider.work(&id, mood).await });
    }
    match mood {
        Mood::Lost => Err(io::Error::other("the connection breaks")),
        Mood::Silent => std::future::pending().await,
        _ => Response::builder().body(Pieces::whole(told(&held).to_string())).map_err(io::Error::other),
    }
}

/// The file of a form in parts.
fn lines_of(body: &[u8], boundary: &str) -> Vec<u8> {
    let find = |part: &[u8], text: &str| {
        part.windows(text.len())
            .position(|window| window == text.as_bytes())
            .unwrap_or_else(|| panic!("{text:?}"))
    };
    assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()));
    find(body, "name=\"purpose\"\r\n\r\nbatch\r\n");
    let file = &body[find(body, "name=\"file\"; filename=")..];
    let file = &file[find(file, "\r\n\r\n") + 4..];
    file[..find(file, &format!("\r\n--{boundary}--\r\n"))].to_vec()
}
