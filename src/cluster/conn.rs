//! Messages on a connection: each a length of four bytes, big end first, and that much JSON.

use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a reading waits before it looks around.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the other side may leave what is sent untaken.
const STUCK: Duration = Duration::from_secs(30);
/// The most bytes of a message from a stranger.
pub(super) const STRANGER: usize = 4 << 10;
/// The most bytes of a message: a handout names every shard.
pub(super) const MOST: usize = 1 << 30;

/// The sending end. Cheap to clone; messages of several threads do not mix.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    stream: Arc<Mutex<TcpStream>>,
    who: Arc<str>,
}

impl Sender {
    /// Sends a message.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the other side is gone.
    pub(super) fn send<T: Serialize>(&self, message: &T) -> Result<()> {
        let text = super::written(message)?;
        let length = u32::try_from(text.len()).map_err(|_| Error::bug("message too long"))?;
        let bytes = [&length.to_be_bytes(), text.as_bytes()].concat();
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&bytes).map_err(|cause| lost(&self.who).because(cause))
    }

    /// Ends the connection for both ends and both sides.
    pub(super) fn close(&self) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct Receiver {
    stream: TcpStream,
    who: Arc<str>,
    inbox: Vec<u8>,
    most: usize,
}

/// Both ends of a connection to `who`.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is gone already.
pub(super) fn ends(stream: TcpStream, who: &str) -> Result<(Sender, Receiver)> {
    let set = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_write_timeout(Some(STUCK)))
        .and_then(|()| stream.try_clone());
    let clone = set.map_err(|cause| lost(who).because(cause))?;
    let who: Arc<str> = who.into();
    let sender = Sender { stream: Arc::new(Mutex::new(clone)), who: Arc::clone(&who) };
    Ok((sender, Receiver { stream, who, inbox: Vec::new(), most: STRANGER }))
}

/// What is said of a side that is gone.
pub(super) fn lost(who: &str) -> Error {
    Error::unavailable(format!(
        "process lost: {who}, remedy=run the same command again: what was read and answered is kept"
    ))
}

impl Receiver {
    /// The other side is known: from now on its messages may be long.
    pub(super) fn trust(&mut self) {
        self.most = MOST;
    }

    /// Who is at the other side.
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// The next message; `None` if there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the other side is gone or says what is no message.
    pub(super) fn poll<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            if let Some((length, rest)) = self.inbox.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > self.most {
                    let most = self.most;
                    return Err(lost(&self.who)
                        .because(format!("message too long: bytes={length}, range=0..={most}")));
                }
                if let Some(text) = rest.get(..length) {
                    let message = serde_json::from_slice(text);
                    let message = message.map_err(|cause| lost(&self.who).because(cause))?;
                    self.inbox.drain(..4 + length);
                    return Ok(Some(message));
                }
            }
            let mut bytes = [0; 1 << 13];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(lost(&self.who).because("connection closed")),
                Ok(many) => self.inbox.extend_from_slice(&bytes[..many]),
                Err(cause) => match cause.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(lost(&self.who).because(cause)),
                },
            }
        }
    }

    /// The next message of a handshake.
    ///
    /// # Errors
    /// As [`poll`](Self::poll), and if it does not come in time.
    pub(super) fn wait<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T> {
        let watch = crate::telemetry::Stopwatch::start();
        loop {
            if let Some(message) = self.poll()? {
                return Ok(message);
            }
            if u128::from(watch.millis()) > within.as_millis() {
                return Err(lost(&self.who).because("nothing was said"));
            }
        }
    }
}
