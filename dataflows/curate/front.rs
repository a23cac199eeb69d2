//! The front of one worker: row groups to signed fragments. Text never leaves it.

use super::job::Job;
use crate::model::{Epoch, Lang, Note, Rows, Signed, Stage};
use crate::source::Credits;
use crate::source::tasks::Reading;
use crate::stage::pieces::ReadCounts;
use crate::stage::segment::Segmenter;
use crate::stage::settle::Updates;
use crate::stage::{identify, quality, read, segment, sign};
use crate::stop::Stop;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::{Concatenate, Inspect};
use timely::dataflow::{Scope, Stream};

/// What the front puts out.
pub(super) struct Front<'s> {
    /// Fragments, as ids and hashes.
    pub(super) signed: Stream<'s, Epoch, Updates<Signed>>,
    /// Rows and fragments that ended.
    pub(super) notes: Stream<'s, Epoch, Vec<Note>>,
    /// What bounds its text.
    pub(super) credits: Rc<Credits>,
}

/// Wires the front of one worker.
pub(super) fn front<'s>(
    scope: Scope<'s, Epoch>,
    job: &Arc<Job>,
    reading: &Arc<Reading>,
    counts: &ReadCounts,
    stop: &Stop,
) -> Front<'s> {
    let source = &job.settings.source;
    let credits = Credits::new(source.in_flight_rows, source.in_flight_bytes);
    let (rows, unread) = read::read(scope, reading, &credits, stop);
    let (rows, unread) = (rows_read(rows, job, counts), rows_unread(unread, job, counts));
    let (drafts, uncut) = segment::segment(rows, Segmenter::new(&job.settings.segment));
    let (drafts, foreign) = identify::identify(drafts, Arc::clone(&job.identifier), &job.settings.identify);
    let (drafts, poor) = quality::quality(drafts, &job.settings.quality);
    let signed =
        sign::sign(drafts, &job.settings.sign, job.shard_keys(), Rc::clone(&credits), job.settings.seed);
    let notes = scope.concatenate([unread, uncut, foreign, poor]);
    Front { signed, notes, credits }
}

/// Counts the rows that could be read, and tells progress.
fn rows_read<'s>(rows: Stream<'s, Epoch, Rows>, job: &Job, counts: &ReadCounts) -> Stream<'s, Epoch, Rows> {
    let (progress, counts) = (Arc::clone(&job.progress), Rc::clone(counts));
    rows.inspect_core(move |event| {
        let Ok((epochs, rows)) = event else { return };
        progress.done(Stage::Read, rows.rows.len() as u64);
        count(&counts, epochs.least().copied(), rows.rows.iter().map(|row| row.lang));
    })
}

/// Counts the rows that could not.
fn rows_unread<'s>(
    notes: Stream<'s, Epoch, Vec<Note>>,
    job: &Job,
    counts: &ReadCounts,
) -> Stream<'s, Epoch, Vec<Note>> {
    let (progress, counts) = (Arc::clone(&job.progress), Rc::clone(counts));
    notes.inspect_core(move |event| {
        let Ok((epochs, notes)) = event else { return };
        progress.done(Stage::Read, notes.len() as u64);
        count(&counts, epochs.least().copied(), notes.iter().map(|note| note.lang));
    })
}

fn count(counts: &ReadCounts, epoch: Option<Epoch>, langs: impl Iterator<Item = Lang>) {
    let mut counts = counts.borrow_mut();
    let counts = counts.entry(epoch.unwrap_or_default()).or_default();
    langs.for_each(|lang| *counts.entry(lang).or_default() += 1);
}
