//! Process 0: waits for the others, gives row groups out, and gathers what they report.

use super::conn::{self, Receiver, Sender, lost};
use super::{BEAT_MS, FromLeader, FromMember, HANDSHAKE, SILENCE, Welcome, proof, version};
use crate::error::{Error, Result};
use crate::llm::journal::drawn;
use crate::source::tasks::TaskQueue;
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use crate::workers::Peers;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the leader looks whether somebody came, or whether to stop.
const LOOK: Duration = Duration::from_millis(5);

/// Looked at while the leader waits: an error ends the waiting.
pub type Waiting = Box<dyn Fn() -> Result<()> + Send>;

/// What makes a process the leader of several.
pub struct Lead {
    /// Processes in all, the leader too: 2 or more.
    pub processes: usize,
    /// Where the others come to.
    pub listener: TcpListener,
    /// What they must know.
    pub token: String,
    /// Asked again and again while they are waited for.
    pub waiting: Waiting,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lead {{ processes: {}, listener: {:?} }}", self.processes, self.listener)
    }
}

impl Lead {
    /// For `processes` of them, at `address`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there are too few or too many, or the address cannot be listened at.
    pub fn at(address: &str, processes: usize, token: String, waiting: Waiting) -> Result<Self> {
        if !(2..=256).contains(&processes) {
            return Err(Error::config(format!(
                "flag out of range: flag=--processes, value={processes}, range=2..=256, remedy=leave it out for one process"
            )));
        }
        let listener = TcpListener::bind(address).map_err(|cause| {
            Error::config(format!(
                "address not free: flag=--listen, value={address:?}, range=an address of this machine with a port, \
                 remedy=give another one"
            ))
            .because(cause)
        })?;
        Ok(Self { processes, listener, token, waiting })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|cause| Error::unavailable("address unknown").because(cause))
    }
}

/// A member that proved itself.
struct Seat {
    sender: Sender,
    receiver: Option<Receiver>,
    address: SocketAddr,
}

/// The leader of processes that are all there.
pub(crate) struct Leader {
    seats: Vec<Seat>,
    listener: TcpListener,
    session: String,
    stop: Stop,
    over: Arc<AtomicBool>,
    reports: Mutex<Option<mpsc::Receiver<(usize, String)>>>,
}

/// What a member may ask for while row groups are given out.
#[derive(Clone)]
pub(crate) struct Giving {
    /// The row groups.
    pub(crate) tasks: Arc<TaskQueue>,
    /// Told of rows that members read.
    pub(crate) told: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Leader {
    /// Waits until all processes are there.
    ///
    /// # Errors
    /// The reason of the stop flag; what `lead.waiting` says.
    pub(crate) fn wait(lead: Lead, stop: &Stop) -> Result<Self> {
        let Lead { processes, listener, token, waiting } = lead;
        let set = listener.set_nonblocking(true);
        set.map_err(|cause| Error::unavailable("address not listened at").because(cause))?;
        let mut seats = Vec::new();
        while seats.len() + 1 < processes {
            let (stream, from) = accepted(&listener, stop, &waiting)?;
            // A stranger must not end the run.
            match greet(stream, from, &token) {
                Ok(seat) => {
                    seats.push(seat);
                    tracing::info!("process {} of {processes} joined: address={from}", seats.len() + 1);
                }
                Err(error) => tracing::warn!("not let in: address={from}, because={error}"),
            }
        }
        Ok(Self {
            seats,
            listener,
            session: format!("{:016x}{:016x}", drawn(), drawn()),
            stop: stop.clone(),
            over: Arc::default(),
            reports: Mutex::default(),
        })
    }

    /// Tells every member what is to be done, and serves them from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if one is gone.
    pub(crate) fn welcome(&mut self, handout: &str, giving: &Giving) -> Result<()> {
        let (to, reports) = mpsc::channel();
        let addresses: Vec<SocketAddr> = self.seats.iter().map(|seat| seat.address).collect();
        for (process, seat) in (1..).zip(&mut self.seats) {
            let welcome = Welcome {
                process,
                session: self.session.clone(),
                addresses: addresses.clone(),
                handout: handout.to_owned(),
            };
            seat.sender.send(&FromLeader::Welcome(Box::new(welcome)))?;
            let Some(receiver) = seat.receiver.take() else { continue };
            let served = Served {
                process,
                sender: seat.sender.clone(),
                receiver,
                giving: giving.clone(),
                reports: to.clone(),
                over: Arc::clone(&self.over),
            };
            let stop = self.stop.clone();
            let body = move || {
                if let Err(error) = served.serve(&stop) {
                    stop.raise(error);
                }
            };
            let started = std::thread::Builder::new().name(format!("member-{process}")).spawn(body);
            started.map_err(|cause| Error::unavailable("thread not started: name=member").because(cause))?;
        }
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = Some(reports);
        Ok(())
    }

    /// What each member reports of the step that all are in, by process.
    ///
    /// # Errors
    /// The reason of the stop flag.
    pub(crate) fn reports(&self) -> Result<Vec<String>> {
        let mut found: Vec<Option<String>> = vec![None; self.seats.len()];
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = reports.as_ref().ok_or_else(|| Error::bug("reports before a welcome"))?;
        while found.iter().any(Option::is_none) {
            stopped(&self.stop)?;
            if let Ok((process, report)) = reports.recv_timeout(LOOK)
                && let Some(slot) = found.get_mut(process - 1)
            {
                *slot = Some(report);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Lets the members go on to the dataflow that all share, and connects its workers.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if one is gone.
    pub(crate) fn go(&self) -> Result<Peers> {
        for seat in &self.seats {
            seat.sender.send(&FromLeader::Go)?;
        }
        // Nobody connects to process 0 by this list.
        let own = SocketAddr::from(([0, 0, 0, 0], 0));
        let addresses: Vec<SocketAddr> =
            std::iter::once(own).chain(self.seats.iter().map(|seat| seat.address)).collect();
        super::connected(0, &addresses, &self.listener, &self.session, &self.stop)
    }

    /// The snapshot is published: nobody is needed any more.
    pub(crate) fn done(&self) {
        self.over.store(true, Ordering::Release);
        for seat in &self.seats {
            // Who does not hear it has nothing to lose.
            let _ = seat.sender.send(&FromLeader::Done);
        }
    }
}

impl Drop for Leader {
    /// A run that ends in any other way takes the members with it.
    fn drop(&mut self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            for seat in &self.seats {
                let _ =
                    seat.sender.send(&FromLeader::Stop { what: "the leading process stopped".to_owned() });
            }
        }
    }
}

/// The reason of the flag, where it is raised.
pub(super) fn stopped(stop: &Stop) -> Result<()> {
    if stop.is_raised() {
        return Err(stop.take().unwrap_or_else(|| Error::bug("stopped without a reason")));
    }
    Ok(())
}

fn accepted(listener: &TcpListener, stop: &Stop, waiting: &Waiting) -> Result<(TcpStream, SocketAddr)> {
    loop {
        stopped(stop)?;
        waiting()?;
        match listener.accept() {
            Ok(accepted) => return Ok(accepted),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(cause) => return Err(Error::unavailable("address not listened at").because(cause)),
        }
    }
}

fn greet(stream: TcpStream, from: SocketAddr, token: &str) -> Result<Seat> {
    let (sender, mut receiver) = conn::ends(stream, &format!("address={from}"))?;
    let nonce = format!("{:016x}{:016x}", drawn(), drawn());
    sender.send(&FromLeader::Challenge { version: version(), nonce: nonce.clone() })?;
    let FromMember::Hello { version: theirs, proof: proved, port } = receiver.wait(HANDSHAKE)? else {
        return Err(Error::unavailable("no greeting"));
    };
    let why = if proved != proof(token, &nonce) {
        format!("another token: remedy=set {} to that of the leading process", super::TOKEN)
    } else if theirs != version() {
        format!("another version: here={:?}, there={theirs:?}, remedy=use one program", version())
    } else {
        receiver.trust();
        return Ok(Seat { sender, receiver: Some(receiver), address: SocketAddr::new(from.ip(), port) });
    };
    sender.send(&FromLeader::Refused { why: why.clone() })?;
    Err(Error::unavailable(why))
}

/// A member, served on a thread of its own.
struct Served {
    process: usize,
    sender: Sender,
    receiver: Receiver,
    giving: Giving,
    reports: mpsc::Sender<(usize, String)>,
    over: Arc<AtomicBool>,
}

impl Served {
    fn serve(mut self, stop: &Stop) -> Result<()> {
        let (watch, who) = (Stopwatch::start(), format!("process={}, {}", self.process, self.receiver.who()));
        let (mut heard, mut beat) = (0, 0);
        while !self.over.load(Ordering::Acquire) && !stop.is_raised() {
            let said = match self.receiver.poll() {
                Ok(said) => said,
                Err(_) if self.over.load(Ordering::Acquire) => return Ok(()),
                Err(error) => return Err(lost(&who).because(error)),
            };
            let now = watch.millis();
            if said.is_some() {
                heard = now;
            }
            if now.saturating_sub(heard) > SILENCE {
                return Err(lost(&who).because(format!("silent for {SILENCE} ms")));
            }
            if now.saturating_sub(beat) > BEAT_MS {
                beat = now;
                self.sender.send(&FromLeader::Beat)?;
            }
            match said {
                None | Some(FromMember::Beat | FromMember::Hello { .. }) => {}
                Some(FromMember::Take { rows }) => {
                    (self.giving.told)(rows);
                    let task = self.giving.tasks.take();
                    let task = task.map(|(number, task)| (number, task.shard, task.row_group));
                    self.sender.send(&FromLeader::Task(task))?;
                }
                Some(FromMember::Report(report)) => {
                    let _ = self.reports.send((self.process, report));
                }
                Some(FromMember::Failed { what }) => {
                    return Err(Error::unavailable(format!("process failed: {who}, because={what}")));
                }
            }
        }
        Ok(())
    }
}
