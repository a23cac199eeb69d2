//! A process that joined: takes row groups, reports, and ends when the leader does.

use super::conn::{self, Receiver, Sender, lost};
use super::leader::stopped;
use super::{BEAT_MS, FromLeader, FromMember, HANDSHAKE, Numbered, SILENCE, Welcome, proof, version};
use crate::error::{Error, Result};
use crate::source::tasks::Task;
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use crate::workers::Peers;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(50);

/// What a process needs to join.
#[derive(Clone)]
pub struct Join {
    /// Where the leader listens, `HOST:PORT`.
    pub leader: String,
    /// What proves it.
    pub token: String,
    /// How long the leader may take to be there.
    pub patience: Duration,
}

/// A process that was let in.
pub(crate) struct Member {
    process: usize,
    session: String,
    addresses: Vec<SocketAddr>,
    handout: String,
    sender: Sender,
    listener: TcpListener,
    inbox: Mutex<mpsc::Receiver<FromLeader>>,
    stop: Stop,
    over: Arc<AtomicBool>,
}

impl Member {
    /// Joins, and waits for what is to be done.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the leader is not there in time, or is gone again;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it refuses; the reason of the stop flag.
    pub(crate) fn join(join: &Join, stop: &Stop) -> Result<Self> {
        let stream = reached(join, stop)?;
        let gone = |cause| Error::unavailable("address unknown").because(cause);
        let (own, leader) = (stream.local_addr().map_err(gone)?, stream.peer_addr().map_err(gone)?);
        let listener = TcpListener::bind((own.ip(), 0)).map_err(gone)?;
        listener.set_nonblocking(true).map_err(gone)?;
        let port = listener.local_addr().map_err(gone)?.port();
        let (sender, mut receiver) = conn::ends(stream, &format!("process=0, address={leader}"))?;
        let FromLeader::Challenge { version: theirs, nonce } = receiver.wait(HANDSHAKE)? else {
            return Err(Error::unavailable(format!("no leader: address={leader}")));
        };
        if theirs != version() {
            return Err(Error::config(format!(
                "another version: here={:?}, there={theirs:?}, remedy=use one program",
                version()
            )));
        }
        receiver.trust();
        let proof = proof(&join.token, &nonce);
        sender.send(&FromMember::Hello { version: version(), proof, port })?;
        let over = Arc::<AtomicBool>::default();
        let (to, inbox) = mpsc::channel();
        let heard = Heard { sender: sender.clone(), receiver, to, over: Arc::clone(&over) };
        let flag = stop.clone();
        let body = move || {
            if let Err(error) = heard.hear(&flag) {
                flag.raise(error);
            }
        };
        let started = std::thread::Builder::new().name("leader".to_owned()).spawn(body);
        started.map_err(|cause| Error::unavailable("thread not started: name=leader").because(cause))?;
        let mut member = Self {
            process: 0,
            session: String::new(),
            addresses: Vec::new(),
            handout: String::new(),
            sender,
            listener,
            inbox: Mutex::new(inbox),
            stop: stop.clone(),
            over,
        };
        match member.next()? {
            FromLeader::Welcome(welcome) => {
                let Welcome { process, session, addresses, handout } = *welcome;
                member.addresses = std::iter::once(leader).chain(addresses).collect();
                (member.process, member.session, member.handout) = (process, session, handout);
                Ok(member)
            }
            FromLeader::Refused { why } => {
                member.over.store(true, Ordering::Release);
                Err(Error::config(format!("not let in: address={leader}, because={why}")))
            }
            other => Err(member.unexpected(&other)),
        }
    }

    /// Its number, from 1.
    pub(crate) fn process(&self) -> usize {
        self.process
    }

    /// Names it among all processes of all runs.
    pub(crate) fn mark(&self) -> String {
        format!("p{}-{}", self.process, self.session)
    }

    /// What is to be done.
    pub(crate) fn handout(&self) -> &str {
        &self.handout
    }

    /// The next row group; `None` if none is left.
    ///
    /// # Errors
    /// The reason of the stop flag.
    pub(crate) fn take(&self, rows: u64) -> Result<Option<(u64, Task)>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        self.sender.send(&FromMember::Take { rows })?;
        match next(&inbox, &self.stop)? {
            FromLeader::Task(task) => {
                Ok(task.map(|(number, shard, row_group): Numbered| (number, Task { shard, row_group })))
            }
            other => Err(self.unexpected(&other)),
        }
    }

    /// Tells the leader what came of the step that all are in.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is gone.
    pub(crate) fn report(&self, report: String) -> Result<()> {
        self.sender.send(&FromMember::Report(report))
    }

    /// Waits for the dataflow that all share, and connects its workers.
    ///
    /// # Errors
    /// The reason of the stop flag.
    pub(crate) fn go(&self) -> Result<Peers> {
        match self.next()? {
            FromLeader::Go => {
                super::connected(self.process, &self.addresses, &self.listener, &self.session, &self.stop)
            }
            other => Err(self.unexpected(&other)),
        }
    }

    /// Waits until the snapshot is published.
    ///
    /// # Errors
    /// The reason of the stop flag.
    pub(crate) fn done(&self) -> Result<()> {
        match self.next()? {
            FromLeader::Done => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Tells the leader why this process ends.
    pub(crate) fn failed(&self, error: &Error) {
        if !self.over.swap(true, Ordering::AcqRel) {
            let _ = self.sender.send(&FromMember::Failed { what: error.to_string() });
        }
    }

    fn next(&self) -> Result<FromLeader> {
        next(&self.inbox.lock().unwrap_or_else(PoisonError::into_inner), &self.stop)
    }

    fn unexpected(&self, said: &FromLeader) -> Error {
        let said: String = format!("{said:?}").chars().take(40).collect();
        Error::bug(format!("process {} heard what does not fit: {said}", self.process))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.sender.close();
    }
}

fn next(inbox: &mpsc::Receiver<FromLeader>, stop: &Stop) -> Result<FromLeader> {
    loop {
        if let Ok(said) = inbox.recv_timeout(LOOK) {
            return Ok(said);
        }
        stopped(stop)?;
    }
}

/// Connects to the leader, once it is there.
fn reached(join: &Join, stop: &Stop) -> Result<TcpStream> {
    let watch = Stopwatch::start();
    loop {
        let tried = join.leader.to_socket_addrs().and_then(|addresses| {
            let mut last = std::io::Error::other("no address");
            for address in addresses {
                match TcpStream::connect_timeout(&address, HANDSHAKE) {
                    Ok(stream) => return Ok(stream),
                    Err(cause) => last = cause,
                }
            }
            Err(last)
        });
        match tried {
            Ok(stream) => return Ok(stream),
            Err(cause) if u128::from(watch.millis()) >= join.patience.as_millis() => {
                return Err(Error::unavailable(format!(
                    "no leader: address={:?}, waited={} s, remedy=start `isogloss run` with --listen there, or give \
                     --wait SECONDS",
                    join.leader,
                    join.patience.as_secs()
                ))
                .because(cause));
            }
            Err(_) => {
                stopped(stop)?;
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// What the leader says, heard on a thread of its own.
struct Heard {
    sender: Sender,
    receiver: Receiver,
    to: mpsc::Sender<FromLeader>,
    over: Arc<AtomicBool>,
}

impl Heard {
    fn hear(mut self, stop: &Stop) -> Result<()> {
        let watch = Stopwatch::start();
        let (mut heard, mut beat) = (0, 0);
        while !self.over.load(Ordering::Acquire) {
            let said = match self.receiver.poll() {
                Ok(said) => said,
                Err(_) if self.over.load(Ordering::Acquire) => return Ok(()),
                Err(error) => return Err(error),
            };
            let now = watch.millis();
            if said.is_some() {
                heard = now;
            }
            if now.saturating_sub(heard) > SILENCE {
                return Err(lost(self.receiver.who()).because(format!("silent for {SILENCE} ms")));
            }
            if now.saturating_sub(beat) > BEAT_MS {
                beat = now;
                self.sender.send(&FromMember::Beat)?;
            }
            match said {
                None | Some(FromLeader::Beat) => {}
                Some(FromLeader::Stop { what }) => {
                    stop.raise(Error::unavailable(format!(
                        "stopped by the leading process: because={what}, remedy=see what it says"
                    )));
                    return Ok(());
                }
                Some(said) => {
                    let last = matches!(said, FromLeader::Done | FromLeader::Refused { .. });
                    let _ = self.to.send(said);
                    if last {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}
