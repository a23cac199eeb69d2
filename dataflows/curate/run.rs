//! A run from prepared job to published snapshot.
//!
//! **Why**: nothing is visible until everything is there. Parts are written under content names beside the snapshot
//! that readers see; the one switch at the end is the only step that they can notice.

use super::change::Restart;
use super::durable;
use super::job::{Given, Job, prepare};
use super::outcome::{Outcome, Work, costs_of};
use super::wire::{Share, build, tally_of};
use crate::cluster::Lead;
use crate::config::{Mode, Settings};
use crate::error::{Error, Result};
use crate::sink::card::card;
use crate::sink::manifest::{AuditFile, Manifest, Part};
use crate::stop::Stop;
use crate::telemetry::{Stopwatch, Tally};
use crate::workers;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Snapshots that are kept beside the one that readers see.
pub(super) const KEEP: usize = 2;

/// Prepares a run and carries it out.
///
/// # Errors
/// As [`prepare`] and [`execute`].
pub fn curate(settings: Settings, given: Given, runtime: &Handle, stop: &Stop) -> Result<Outcome> {
    execute(&Arc::new(prepare(settings, given, stop)?), runtime, stop)
}

/// Carries out a prepared run; idle if the snapshot is what it would make.
///
/// # Errors
/// The reason of the stop flag: an endpoint that is away, a shard that changed, a full disk, an interrupt. What was
/// asked is in the journal, and the next run goes on from there.
pub fn execute(job: &Arc<Job>, runtime: &Handle, stop: &Stop) -> Result<Outcome> {
    lead(job, None, runtime, stop)
}

/// Whether so many processes can work on a run.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if state is in memory, which they cannot share.
pub fn sharable(settings: &Settings, processes: usize) -> Result<()> {
    if processes > 1 && settings.state.mode == Mode::Memory {
        return Err(Error::config(
            "several processes need state on disk: key=state.mode, value=\"memory\", range=\"durable\" with --processes, \
             remedy=leave out one of them",
        ));
    }
    Ok(())
}

/// As [`execute`], as the leader of several processes, for which it waits if there is something to do.
///
/// # Errors
/// As [`execute`]; [`ErrorKind::Config`](crate::ErrorKind::Config) if state is in memory, which processes cannot share.
pub fn lead(job: &Arc<Job>, lead: Option<Lead>, runtime: &Handle, stop: &Stop) -> Result<Outcome> {
    sharable(&job.settings, lead.as_ref().map_or(1, |lead| lead.processes))?;
    let watch = Stopwatch::start();
    let delta = job.delta();
    if let Some(known) = job.known.as_deref().filter(|_| job.is_done()) {
        return Ok(Outcome {
            tally: Tally::of_counts(&known.counts),
            manifest: known.clone(),
            delta,
            work: Work::of(&job.roles),
            costs: costs_of(&job.roles),
            ran: false,
            starts_anew: None,
            row_groups_read: 0,
            reused: known.parts.len(),
            row_groups_copied: 0,
            in_flight: [0; 3],
            seconds: watch.seconds(),
        });
    }
    if job.change.is_some() {
        return durable::execute(job, lead, runtime, stop, &watch);
    }
    let shares = {
        let (job, runtime, flag) = (Arc::clone(job), runtime.clone(), stop.clone());
        workers::run(job.settings.workers, stop, move |worker| Ok(build(worker, &job, &runtime, &flag)))?
    };
    let tally = tally_of(&shares);
    tally.conserved()?;
    let manifest = manifest_of(job, &shares, &tally);
    let reused = standing(job, &manifest);
    // What rows were made of must not be lost before them.
    job.sync_journal()?;
    job.output.publish(&manifest, &card(&manifest), KEEP)?;
    let in_flight = shares.iter().fold([0; 3], |sum: [u64; 3], share| {
        [sum[0] + share.peaks[0], sum[1] + share.peaks[1], sum[2] + share.peaks[2]]
    });
    let (work, costs, seconds) = (Work::of(&job.roles), costs_of(&job.roles), watch.seconds());
    let row_groups_read = job.surveys.iter().map(|survey| survey.row_groups.len()).sum();
    Ok(Outcome {
        manifest,
        delta,
        tally,
        work,
        costs,
        ran: true,
        starts_anew: Some(Restart::Dedup.name()),
        row_groups_read,
        reused,
        row_groups_copied: 0,
        in_flight,
        seconds,
    })
}

fn manifest_of(job: &Job, shares: &[Share], tally: &Tally) -> Manifest {
    let parts = shares.iter().flat_map(|share| share.parts.iter().cloned()).collect();
    let audited = shares.iter().flat_map(|share| &share.audited);
    manifest_from(job, parts, audited.flat_map(|audited| audited.files.clone()).collect(), tally)
}

/// The manifest of a run that ends with these files.
pub(super) fn manifest_from(job: &Job, parts: Vec<Part>, audit: Vec<AuditFile>, tally: &Tally) -> Manifest {
    let manifest = Manifest {
        fingerprint: job.parts.fingerprint,
        versions: job.parts.versions.clone(),
        audit_mode: job.settings.audit,
        shards: job.entries.clone(),
        parts,
        audit,
        counts: tally.counts(),
        ..Manifest::default()
    };
    manifest.sealed()
}

/// How many parts of `manifest` were there before.
pub(super) fn standing(job: &Job, manifest: &Manifest) -> usize {
    let known = job.known.as_deref().map_or(&[][..], |known| &known.parts);
    manifest.parts.iter().filter(|part| known.contains(part)).count()
}
