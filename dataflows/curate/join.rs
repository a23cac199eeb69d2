//! A run as one process of several sees it that does not lead.

use super::change::needed;
use super::durable::{Pass, build, read_missing};
use super::handout::{FrontReport, Handout, PassReport};
use super::job::Given;
use super::wire::tally_of;
use crate::cluster::{self, Join, Member};
use crate::error::Result;
use crate::model::Stage;
use crate::points::reached;
use crate::source::tasks::TaskQueue;
use crate::state::store::Team;
use crate::stop::Stop;
use crate::workers;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Handle;

/// Works for the run that another process leads, until its snapshot is published.
///
/// # Errors
/// The leader is not there, refuses, or ends; folders that differ; a full disk; an interrupt.
pub fn join(wanted: &Join, given: Given, runtime: &Handle, stop: &Stop) -> Result<()> {
    let member = Arc::new(Member::join(wanted, stop)?);
    let done = work(&member, given, runtime, stop);
    if let Err(error) = &done {
        member.failed(error);
    }
    done
}

fn work(member: &Arc<Member>, given: Given, runtime: &Handle, stop: &Stop) -> Result<()> {
    let handout: Handout = cluster::read(member.handout())?;
    let processes = handout.processes();
    tracing::info!("joined as process {} of {processes}", member.process() + 1);
    reached("joined");
    let told = Arc::new(AtomicU64::new(0));
    let tasks = |progress: Arc<crate::telemetry::Progress>| {
        let (member, flag, told) = (Arc::clone(member), stop.clone(), Arc::clone(&told));
        TaskQueue::elsewhere(move || {
            let rows = progress.of(Stage::Read).0;
            let since = rows.saturating_sub(told.swap(rows, Ordering::Relaxed));
            member.take(since).unwrap_or_else(|error| {
                flag.raise(error);
                None
            })
        })
    };
    let job = Arc::new(handout.job(&member.mark(), tasks, given.identifier)?);
    let change = needed(job.change.as_ref())?;
    let peak_bytes = read_missing(&job, change, &job.reading.tasks, stop)?;
    let rows = job.progress.of(Stage::Read).0.saturating_sub(told.load(Ordering::Relaxed));
    member.report(cluster::written(&FrontReport { rows, peak_bytes })?)?;
    let peers = member.go()?;
    let team = Team { process: member.process(), processes, workers: job.settings.workers };
    let pass = Arc::new(Pass::new(&job, change, team, stop)?);
    let shares = {
        let (pass, runtime, flag) = (Arc::clone(&pass), runtime.clone(), stop.clone());
        workers::run_among(team.workers, Some(peers), stop, move |worker| {
            Ok(build(worker, &pass, &runtime, &flag))
        })?
    };
    let audited = || shares.iter().flat_map(|share| &share.audited);
    let report = PassReport {
        tally: tally_of(&shares).state_lines(),
        audit: audited().flat_map(|audited| audited.files.iter().cloned()).collect(),
        touched: audited().flat_map(|audited| audited.touched.iter().copied()).collect(),
        peaks: shares
            .iter()
            .fold([0; 3], |sums, share| [0, 1, 2].map(|at: usize| sums[at] + share.peaks[at])),
        tables: change.store.hand()?,
        sums: pass.stages.sums(),
    };
    reached("share done");
    member.report(cluster::written(&report)?)?;
    member.done()
}
