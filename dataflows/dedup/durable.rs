//! Dedup over durable state: one dataflow for what was not read yet, one for what changes.
//!
//! ```text
//! row groups without a piece ─► read ─► sign rows ─► pieces ─► artefacts
//! artefacts that differ ─► dedup ─► tables ─► members, pairs
//! ```
//! **Why**: next month's crawl is a small part of what is known. What was read once is not read again, clusters are
//! compared where the delta touches them, and what is left of the cost of the whole is one scan of the tables and the
//! writing of the lists.

use super::change::Change;
use super::job::Job;
use super::run::Found;
use super::wire::{credits, read};
use crate::error::{Error, Result};
use crate::model::{Epoch, Note};
use crate::source::tasks::TaskQueue;
use crate::stage::dedup::Membership;
use crate::stage::differing::signed;
use crate::stage::durable::DurableStages;
use crate::stage::pieces::{PieceContext, ReadCounts, pieces};
use crate::stage::sign::sign_rows;
use crate::state::artefact::{ALL, notes_between};
use crate::state::shards::{Differing, differing, folders, open, seal};
use crate::stop::Stop;
use crate::workers;
use std::rc::Rc;
use std::sync::Arc;

/// Reads what is new and finds the clusters of all.
pub(super) fn found(job: &Arc<Job>, change: &Change, stop: &Stop) -> Result<Found> {
    change.store.start_merging()?;
    let in_flight = read_missing(job, change, stop)?;
    seal(&change.store, &change.members, &change.unsealed, &job.surveys, change.shape)?;
    crate::points::reached("front done");
    let stages = DurableStages::new(change.tables(&job.settings), &job.settings.sign, stop);
    compare(job, change, &stages, stop)?;
    stages.checked()?;
    crate::points::reached("rows decided");
    let (mut members, pairs) = stages.clusters(&job.settings.dedup)?;
    // Places counted shards that are gone, too; lists number those that are wanted.
    let wanted = |shard: u32| {
        let member = change.members.get(shard as usize).and_then(|member| member.new.as_ref());
        member.and_then(|(at, ..)| u32::try_from(*at).ok())
    };
    for Membership { place, .. } in &mut members {
        place.shard = wanted(place.shard).ok_or_else(|| Error::bug("a row of a shard that is gone"))?;
    }
    Ok(Found { members, pairs, faults: faults(change)?, in_flight })
}

/// Reads what has no piece yet; gives back the most bytes of text that were in flight.
fn read_missing(job: &Arc<Job>, change: &Change, stop: &Stop) -> Result<u64> {
    if change.missing.is_empty() {
        return Ok(0);
    }
    let folders = folders(&change.store.artefacts(), &change.members, job.entries.len());
    let ctx = Arc::new(PieceContext { tasks: change.missing.clone(), folders, shape: change.shape });
    let tasks = Arc::new(TaskQueue::new(change.missing.iter().copied()));
    let reading = Arc::new(job.reading.of(tasks));
    let (job, flag) = (Arc::clone(job), stop.clone());
    let peaks = workers::run(job.settings.workers, stop, move |worker| {
        let credits = credits(&job);
        worker.dataflow::<Epoch, _, _>(|scope| {
            let (rows, unread) = read(scope, &job, &reading, &credits, &flag);
            let signed = sign_rows(
                rows,
                &job.settings.sign,
                Rc::clone(&credits),
                Arc::clone(&reading.tasks),
                flag.clone(),
            );
            pieces(signed, unread, ReadCounts::default(), Arc::clone(&ctx), flag.clone());
        });
        Ok(move || Ok(credits.peak_bytes()))
    })?;
    Ok(peaks.into_iter().sum())
}

/// Brings the tables from the state before to what the artefacts say now.
fn compare(job: &Arc<Job>, change: &Change, stages: &DurableStages, stop: &Stop) -> Result<()> {
    let differing: Arc<[Differing]> = differing(&change.store.artefacts(), &change.members)?.into();
    let (settings, shape) = (job.settings.dedup.clone(), change.shape);
    let (stages, flag) = (stages.clone(), stop.clone());
    workers::run(job.settings.workers, stop, move |worker| {
        worker.dataflow::<Epoch, _, _>(|scope| {
            let signed = signed(scope, Arc::clone(&differing), shape, &flag);
            // What it says of rows is read off the tables, for all of them at once.
            stages.dedup(signed, &settings);
        });
        Ok(|| Ok(()))
    })?;
    Ok(())
}

/// The rows of all wanted shards that could not be read.
fn faults(change: &Change) -> Result<Vec<Note>> {
    let artefacts = change.store.artefacts();
    let mut faults = Vec::new();
    for (at, _, name) in change.members.iter().filter_map(|member| member.new.as_ref()) {
        let artefact = open(&artefacts, name)?;
        let shard = u32::try_from(*at).unwrap_or(u32::MAX);
        notes_between(None, Some(&artefact), shard, ALL, |note, _| {
            faults.push(note);
            Ok(())
        })?;
    }
    Ok(faults)
}
