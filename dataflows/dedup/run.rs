//! A run from prepared job to published lists.

use super::durable;
use super::job::{Job, prepare};
use super::outcome::Outcome;
use super::resolve::{Resolved, resolve};
use super::settings::Settings;
use super::wire::build;
use crate::error::{Error, Result};
use crate::model::{Note, Place};
use crate::sink::keep_list::{Counts, KeepList, ListFile, Lists, kept_rows};
use crate::source::open::Files;
use crate::stage::dedup::{Membership, Resembling};
use crate::state::store::Store;
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use crate::workers;
use differential_dataflow::consolidation::consolidate;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Snapshots that are kept beside the one that readers see.
const KEEP: usize = 1;

/// Prepares a run and carries it out.
///
/// # Errors
/// As [`prepare`] and [`execute`].
pub fn dedup(settings: Settings, stop: &Stop) -> Result<Outcome> {
    execute(&Arc::new(prepare(settings)?), stop)
}

/// Carries out a prepared run; idle if readers see what it would make.
///
/// # Errors
/// The reason of the stop flag: a shard that changed, a full disk, an interrupt. Readers see what they saw.
pub fn execute(job: &Arc<Job>, stop: &Stop) -> Result<Outcome> {
    let watch = Stopwatch::start();
    let delta = job.delta();
    if let Some(known) = job.known.as_ref().filter(|_| job.is_done()) {
        job.output.show(KeepList::NAMES)?;
        return Ok(Outcome {
            list: known.clone(),
            delta,
            ran: false,
            row_groups_read: 0,
            in_flight: 0,
            seconds: watch.seconds(),
        });
    }
    let row_groups_read = job.unread();
    let found = match &job.change {
        Some(change) => durable::found(job, change, stop)?,
        None => found(job, stop)?,
    };
    let in_flight = found.in_flight;
    let (resolved, faults) = gathered(found)?;
    let settle = || job.change.as_ref().map_or(Ok(()), |change| change.store.settle());
    let ((), list) = workers::side_by_side("settle", settle, || written(job, &resolved, &faults))?;
    if let Some(change) = &job.change {
        change.commit(&list)?;
    }
    list.publish(&job.output, KEEP)?;
    if job.change.is_some() {
        Store::collect(&job.output.state(), list.state_name()?)?;
    }
    Ok(Outcome { list, delta, ran: true, row_groups_read, in_flight, seconds: watch.seconds() })
}

/// The clusters of all rows, in any order; and the rows that could not be read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) members: Vec<Membership>,
    pub(super) pairs: Vec<Resembling>,
    pub(super) faults: Vec<Note>,
    /// The most bytes of text in flight.
    pub(super) in_flight: u64,
}

/// Reads everything, and finds the clusters in memory.
fn found(job: &Arc<Job>, stop: &Stop) -> Result<Found> {
    let (job, flag) = (Arc::clone(job), stop.clone());
    let shares = workers::run(job.settings.workers, stop, move |worker| Ok(build(worker, &job, &flag)))?;
    let mut found = Found::default();
    let (mut members, mut pairs) = (Vec::new(), Vec::new());
    for mut share in shares {
        members.append(&mut share.members);
        pairs.append(&mut share.pairs);
        found.faults.append(&mut share.faults);
        found.in_flight += share.in_flight;
    }
    (found.pairs, found.members) =
        workers::side_by_side("pairs", || standing(pairs, isize::MAX), || standing(members, 1))?;
    Ok(found)
}

/// What is left of updates, each of which may count from once to `most` times.
fn standing<D: Ord>(mut updates: Vec<(D, isize)>, most: isize) -> Result<Vec<D>> {
    consolidate(&mut updates);
    if updates.iter().any(|(_, count)| !(1..=most).contains(count)) {
        return Err(Error::bug("clusters do not add up: a row or pair was counted wrongly"));
    }
    Ok(updates.into_iter().map(|(data, _)| data).collect())
}

/// Rows that could not be read, by place, with the reason.
type Faults = Vec<(Place, &'static str)>;

fn gathered(found: Found) -> Result<(Resolved, Faults)> {
    let faults = found.faults.iter().map(|note| (note.place, note.verdict.reason.name()));
    let mut faults: Faults = faults.collect();
    faults.sort_unstable();
    Ok((resolve(found.members, found.pairs)?, faults))
}

/// Writes the lists into the store.
fn written(job: &Job, resolved: &Resolved, faults: &Faults) -> Result<KeepList> {
    let mut out = resolved.gone.clone();
    out.extend(faults.iter().map(|(place, _)| *place));
    out.sort_unstable();
    let lists = Lists {
        shards: &job.shards,
        surveys: &job.surveys,
        open: &Files,
        columns: &job.settings.source.columns,
        store: &job.output.store(),
        fingerprint: job.fingerprint,
        entries: &job.entries,
        known: job.known.as_ref().map(|known| known.files.as_slice()).unwrap_or_default(),
    };
    let (mut files, no_id) = lists.write(&resolved.members, &resolved.pairs, &out)?;
    if job.settings.rows {
        files.extend(kept_rows(&lists, &out, job.settings.workers)?);
    }
    let rows = job.surveys.iter().map(|survey| u64::from(survey.rows)).sum::<u64>();
    let mut counts = Counts {
        rows,
        kept: rows - out.len() as u64,
        exact: resolved.exact,
        near: resolved.gone.len() as u64 - resolved.exact,
        clusters: resolved.clusters,
        pairs: resolved.pairs.len() as u64,
        derived_ids: no_id,
        ..Counts::default()
    };
    for (_, reason) in faults {
        *counts.faulted.entry((*reason).to_owned()).or_default() += 1;
    }
    Ok(KeepList {
        kind: KeepList::KIND.to_owned(),
        format: KeepList::FORMAT,
        fingerprint: job.fingerprint,
        digest: digest_of(&files),
        shards: job.entries.clone(),
        files,
        counts,
    })
}

fn digest_of(files: &[ListFile]) -> u128 {
    let mut hasher = Xxh3::new();
    for file in files {
        hasher.update(file.folder.as_bytes());
        hasher.update(file.name.as_bytes());
        hasher.update(&file.hash.to_le_bytes());
    }
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_wrongly_is_a_bug_and_not_a_list() {
        assert_eq!(standing(vec![(2, 1), (1, 3), (2, 1), (3, 1), (3, -1)], 3).expect("counted"), [1, 2]);
        assert!(standing(vec![(2, 1), (2, 1)], 1).is_err());
        assert!(standing(vec![(2, -1)], 1).is_err());
    }
}
