//! The processes of a run: started here, or waited for.
//!
//! **Why**: on one machine a number must be enough; on several the person starts them, and this process says where it waits.

use crate::cluster::{Lead, TOKEN, Waiting};
use crate::error::{Error, Result};
use crate::llm::journal::drawn;
use crate::llm::key::Key;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long processes may take to end, once the run has.
const FAREWELL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Which processes a run has.
#[derive(Debug, Clone)]
pub struct Crew {
    /// How many, this one too.
    pub processes: usize,
    /// Where the others come to; `None` to start them here.
    pub listen: Option<String>,
}

impl Default for Crew {
    fn default() -> Self {
        Self { processes: 1, listen: None }
    }
}

/// Processes that were started here. They end with the run; those that do not are killed when this goes.
#[derive(Debug)]
pub struct Started {
    children: Arc<Mutex<Vec<Child>>>,
}

impl Crew {
    /// Whether the flags fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the remedy if not.
    pub fn check(&self) -> Result<()> {
        if !(1..=256).contains(&self.processes) {
            return Err(Error::config(format!(
                "flag out of range: flag=--processes, value={}, range=1..=256, remedy=leave it out for one process",
                self.processes
            )));
        }
        match &self.listen {
            Some(listen) if self.processes == 1 => Err(Error::config(format!(
                "nobody to wait for: flag=--listen, value={listen:?}, remedy=say with --processes how many work together"
            ))),
            Some(_) => Key::from_env("--listen", TOKEN).map(drop),
            None => Ok(()),
        }
    }

    /// Starts them, or says where they are waited for; `None` for one process.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the address is not free; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable)
    /// if the system starts no process.
    pub fn muster(&self) -> Result<Option<(Lead, Option<Started>)>> {
        if self.processes == 1 {
            return Ok(None);
        }
        if let Some(listen) = &self.listen {
            let token = Key::from_env("--listen", TOKEN)?.reveal().to_owned();
            let lead = Lead::at(listen, self.processes, token, Box::new(|| Ok(())))?;
            tracing::info!("waiting for {} processes at {}", self.processes - 1, lead.address()?);
            return Ok(Some((lead, None)));
        }
        let token = format!("{:016x}{:016x}", drawn(), drawn());
        let children: Arc<Mutex<Vec<Child>>> = Arc::default();
        let started = Started { children: Arc::clone(&children) };
        let waiting: Waiting = Box::new(move || alive(&children));
        let lead = Lead::at("127.0.0.1:0", self.processes, token.clone(), waiting)?;
        let address = lead.address()?.to_string();
        for _ in 1..self.processes {
            started.start(&address, &token)?;
        }
        Ok(Some((lead, Some(started))))
    }
}

impl Started {
    fn start(&self, address: &str, token: &str) -> Result<()> {
        let failed = |cause| Error::unavailable("process not started: program=isogloss").because(cause);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["join", address]).env(TOKEN, token).stdin(Stdio::null()).stdout(Stdio::null());
        // An interrupt from the terminal is this process's to tell.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed)?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = FAREWELL.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if children.is_empty() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        for child in children.iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether all that were started are still there.
fn alive(children: &Mutex<Vec<Child>>) -> Result<()> {
    for child in children.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Error::unavailable(format!(
                "process ended before it joined: status={status}, remedy=see what it said"
            )));
        }
    }
    Ok(())
}
