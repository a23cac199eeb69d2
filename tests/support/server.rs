//! A chat server on loopback that behaves, or not, as a script says.

#[path = "delay.rs"]
mod delay;
#[path = "loopback.rs"]
mod loopback;

use bytes::Bytes;
use delay::Delay;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response};
use loopback::serve;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers the user message, in brackets.
    Answer,
    /// Says something else, with a status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// Says bytes that need not be text, with status 200.
    Raw(&'static [u8]),
    /// Closes the connection without a word.
    Reset,
    /// Begins an answer and closes the connection.
    Cut,
    /// Sends this many blocks of 64 KiB.
    Huge(u32),
    /// Sends a byte now and then, without end.
    Drip,
    /// Says nothing for this long.
    Stall(Duration),
}

/// What the server saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Per user message: times asked, times answered.
    pub(crate) asked: BTreeMap<String, (u32, u32)>,
    /// Messages asked again after they were answered in full.
    pub(crate) again: Vec<String>,
    /// `Authorization` headers.
    pub(crate) keys: Vec<String>,
    /// Blocks of too long replies that went out.
    pub(crate) blocks: u64,
    /// Requests in flight, and the most of them.
    pub(crate) now: u32,
    pub(crate) most: u32,
}

/// A running server; it ends with its runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

type Script = dyn Fn(&str, u32) -> Act + Send + Sync;
type Reply = Response<BoxBody<Bytes, io::Error>>;

impl Server {
    /// Starts one that answers after `delay`. `script` sees the user message and how often it was asked before.
    pub(crate) async fn start(
        delay: Duration,
        script: impl Fn(&str, u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        let mut server = Self { url: String::new(), seen: Arc::default() };
        let (ours, script): (_, Arc<Script>) = (server.clone(), Arc::new(script));
        let delay = Delay::of(delay);
        server.url =
            serve(move |request| handle(ours.clone(), Arc::clone(&script), delay.clone(), request)).await;
        server
    }

    /// What it saw so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }
}

async fn handle(
    server: Server,
    script: Arc<Script>,
    delay: Option<Delay>,
    request: Request<Incoming>,
) -> io::Result<Reply> {
    let passed = delay.as_ref().map(Delay::start);
    let key = request.headers().get("authorization").map(|key| key.to_str().expect("ascii").to_owned());
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    let text = body["messages"].as_array().and_then(|all| all.last()).map(|last| &last["content"]);
    let text = text
        .or(body.get("input"))
        .or(body.get("q"))
        .and_then(|text| text.as_str())
        .unwrap_or_default()
        .to_owned();
    let before = {
        let mut seen = server.seen();
        seen.keys.extend(key);
        seen.now += 1;
        seen.most = seen.most.max(seen.now);
        let (asked, answered) = seen.asked.entry(text.clone()).or_default();
        *asked += 1;
        let before = *asked - 1;
        if *answered > 0 {
            seen.again.push(text.clone());
        }
        before
    };
    if let Some(passed) = passed {
        passed.await.map_err(io::Error::other)?;
    }
    let act = script(&text, before);
    if let Act::Stall(time) = &act {
        tokio::time::sleep(*time).await;
    }
    server.seen().now -= 1;
    let json = |status: u16| Response::builder().status(status).header("content-type", "application/json");
    let whole =
        |text: String| Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed();
    let reply = match act {
        Act::Answer => {
            server.seen().asked.entry(text.clone()).or_default().1 += 1;
            json(200).body(whole(page(&text)))
        }
        Act::Say(status, headers, body) => {
            let mut reply = Response::builder().status(status);
            for (name, value) in headers {
                reply = reply.header(name, value);
            }
            reply.body(whole(body))
        }
        Act::Reset | Act::Stall(_) => return Err(io::Error::other("reset")),
        Act::Raw(bytes) => {
            let bytes = Full::new(Bytes::from_static(bytes));
            json(200).body(bytes.map_err(|never: Infallible| match never {}).boxed())
        }
        Act::Cut => json(200).body(broken(&server, "{\"choices\":[{\"mess", 0, None)),
        Act::Huge(blocks) => json(200).body(broken(&server, "{", blocks, None)),
        Act::Drip => json(200).body(broken(&server, "{", 0, Some(nap()))),
    };
    reply.map_err(io::Error::other)
}

/// A chat reply that answers `text`.
pub(crate) fn page(text: &str) -> String {
    serde_json::json!({
        "choices": [{ "message": { "role": "assistant", "content": format!("[{text}]") }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 3 },
    })
    .to_string()
}

type Nap = Pin<Box<tokio::time::Sleep>>;

fn nap() -> Nap {
    Box::pin(tokio::time::sleep(Duration::from_millis(20)))
}

/// A body that starts well: then come blocks, or single bytes without end, or nothing; it never ends in order.
struct Broken {
    start: &'static str,
    blocks: u32,
    sleep: Option<Nap>,
    server: Server,
}

fn broken(
    server: &Server,
    start: &'static str,
    blocks: u32,
    sleep: Option<Nap>,
) -> BoxBody<Bytes, io::Error> {
    Broken { start, blocks, sleep, server: server.clone() }.boxed()
}

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = |bytes: Bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        let start = std::mem::take(&mut self.start);
        if !start.is_empty() {
            return data(Bytes::from_static(start.as_bytes()));
        }
        if let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = Some(nap());
            return data(Bytes::from_static(b" "));
        }
        if self.blocks > 0 {
            self.blocks -= 1;
            self.server.seen().blocks += 1;
            return data(Bytes::from(vec![b' '; 1 << 16]));
        }
        Poll::Ready(Some(Err(io::Error::other("cut"))))
    }
}
