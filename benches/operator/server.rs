//! A chat server that costs next to nothing: a fixed delay, a fixed reply, no parsing but of where a request ends.
//!
//! **Why**: in use the server is another machine. Here it shares the cores with the client, and what it takes of them is not
//! the client's.

#[path = "../../tests/support/delay.rs"]
mod delay;

use delay::Delay;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts one on the runtime that this is called from; gives its address, as an endpoint is named.
pub(crate) async fn start(delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let delay = Delay::of(delay).expect("a delay");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            tokio::spawn(answer(stream, delay.clone()));
        }
    });
    url
}

/// Answers one request after the other, until the client leaves.
async fn answer(mut stream: TcpStream, delay: Delay) {
    let reply = reply();
    let mut came = Vec::with_capacity(4096);
    loop {
        let bytes = loop {
            if let Some(bytes) = whole(&came) {
                break bytes;
            }
            if !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
                return;
            }
        };
        came.drain(..bytes);
        if delay.start().await.is_err() || stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// How long the first request is, if it is there to its end.
fn whole(came: &[u8]) -> Option<usize> {
    let head = came.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let lines = std::str::from_utf8(&came[..head]).expect("ASCII");
    let length = lines.lines().filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.next_back().map_or(0, |(_, length)| length.trim().parse().expect("a number"));
    (came.len() >= head + length).then_some(head + length)
}

fn reply() -> String {
    let text = "The tide rises and falls twice a day, and the cause is the Moon. ".repeat(15);
    let page = serde_json::json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 250, "completion_tokens": 240 },
    });
    let page = page.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{page}",
        page.len()
    )
}
