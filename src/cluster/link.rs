//! What carries the data of the dataflow from process to process.
//!
//! **Why**: timely's own threads panic when a connection breaks, and its workers then wait for ever. Here the stream
//! itself notices, raises the stop flag, on which every worker ends, and never returns to the thread that read it.

use super::conn::lost;
use super::leader::stopped;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use timely::communication::allocator::zero_copy::stream::Stream;

/// How long messages gather.
const GATHER: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(2);
/// How long all processes may take to connect with each other, in milliseconds.
const MEETING: u64 = 60_000;
/// How long a new connection may take to name itself.
const NAMING: Duration = Duration::from_secs(5);
/// Bytes of a session's name.
const SESSION: usize = 32;
/// Bytes of a header of timely's, six numbers of eight bytes; the fifth is the length of what follows.
const HEADER: usize = 48;
const LENGTH: std::ops::Range<usize> = 32..40;

/// A connection to another process.
pub(crate) struct Link {
    stream: TcpStream,
    who: String,
    stop: Stop,
    /// The last bytes that were read.
    tail: Vec<u8>,
}

impl Link {
    /// The other side said that nothing follows: a header of nothing.
    fn ended(&self) -> bool {
        self.tail.len() == HEADER && self.tail[LENGTH].iter().all(|byte| *byte == 0)
    }

    fn lost(&self, cause: Option<io::Error>) -> ! {
        let error = lost(&self.who);
        self.stop.raise(match cause {
            Some(cause) => error.because(cause),
            None => error.because("connection closed"),
        });
        loop {
            std::thread::park();
        }
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(into) {
                Ok(0) if self.ended() => return Ok(0),
                Ok(0) => self.lost(None),
                Ok(many) => {
                    let new = &into[..many];
                    self.tail.extend_from_slice(&new[many.saturating_sub(HEADER)..]);
                    let old = self.tail.len().saturating_sub(HEADER);
                    self.tail.drain(..old);
                    return Ok(many);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => self.lost(Some(cause)),
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => self.lost(Some(cause)),
                written => return written,
            }
        }
    }

    /// Waits a moment: timely sends all that it has, flushes, and is woken by what comes next. What comes in between is sent
    /// together, and wakes neither side.
    fn flush(&mut self) -> io::Result<()> {
        std::thread::sleep(GATHER);
        Ok(())
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, who: self.who.clone(), stop: self.stop.clone(), tail: Vec::new() })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // Where the other side is gone already, there is nothing left to shut.
        let _ = self.stream.shutdown(how);
        Ok(())
    }
}

/// Connects process `own` with all others: it goes to those before it, and those behind come to it.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if one cannot be reached or does not come; the reason of the
/// stop flag.
pub(super) fn mesh(
    own: usize,
    addresses: &[SocketAddr],
    listener: &TcpListener,
    session: &str,
    stop: &Stop,
) -> Result<Vec<Option<Link>>> {
    let who = |process: usize| {
        let address = addresses.get(process).map(ToString::to_string).unwrap_or_default();
        format!("process={process}, address={address}")
    };
    let link = |process, stream| Link { stream, who: who(process), stop: stop.clone(), tail: Vec::new() };
    let mut links: Vec<Option<Link>> = addresses.iter().map(|_| None).collect();
    let watch = Stopwatch::start();
    for (process, address) in addresses.iter().enumerate().take(own) {
        let stream = loop {
            stopped(stop)?;
            match TcpStream::connect_timeout(address, NAMING).and_then(|stream| named(stream, session, own)) {
                Ok(stream) => break stream,
                Err(cause) if watch.millis() > MEETING => return Err(lost(&who(process)).because(cause)),
                Err(_) => std::thread::sleep(LOOK),
            }
        };
        links[process] = Some(link(process, stream));
    }
    while links.iter().skip(own + 1).any(Option::is_none) {
        stopped(stop)?;
        match listener.accept() {
            Ok((stream, _)) => {
                let Ok((process, stream)) = names(stream, session) else { continue };
                let slot = links.get_mut(process).filter(|slot| process > own && slot.is_none());
                if let Some(slot) = slot {
                    *slot = Some(link(process, stream));
                }
            }
            Err(cause) if cause.kind() != io::ErrorKind::WouldBlock => {
                return Err(Error::unavailable("address not listened at").because(cause));
            }
            Err(_) if watch.millis() > MEETING => {
                let missing = (own + 1..).zip(&links[own + 1..]).find(|(_, link)| link.is_none());
                return Err(lost(&who(missing.map_or(own, |(process, _)| process)))
                    .because(format!("not connected after {MEETING} ms")));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
    Ok(links)
}

/// Says who comes.
fn named(mut stream: TcpStream, session: &str, own: usize) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.write_all(session.as_bytes())?;
    stream.write_all(&(own as u64).to_be_bytes())?;
    Ok(stream)
}

/// Hears who comes.
fn names(mut stream: TcpStream, session: &str) -> io::Result<(usize, TcpStream)> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(NAMING))?;
    let (mut said, mut process) = ([0; SESSION], [0; 8]);
    stream.read_exact(&mut said)?;
    stream.read_exact(&mut process)?;
    if said != session.as_bytes() {
        return Err(io::Error::other("another session"));
    }
    stream.set_read_timeout(None)?;
    let process = usize::try_from(u64::from_be_bytes(process)).map_err(io::Error::other)?;
    Ok((process, stream))
}
