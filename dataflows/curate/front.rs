//! The front of one worker: row groups to signed fragments. Text never leaves it.

use super::job::Job;
use super::wire::Share;
use crate::model::{Epoch, Note, Rows, Signed, Stage};
use crate::source::Credits;
use crate::stage::segment::Segmenter;
use crate::stage::settle::Updates;
use crate::stage::{identify, quality, read, segment, sign};
use crate::stop::Stop;
use std::cell::RefCell;
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
    share: &Rc<RefCell<Share>>,
    stop: &Stop,
) -> Front<'s> {
    let source = &job.settings.source;
    let credits = Credits::new(source.in_flight_rows, source.in_flight_bytes);
    let (rows, unread) = read::read(scope, &job.reading, &credits, stop);
    let (rows, unread) = (rows_read(rows, job, share), rows_unread(unread, job, share));
    let (drafts, uncut) = segment::segment(rows, Segmenter::new(&job.settings.segment));
    let (drafts, foreign) = identify::identify(drafts, Arc::clone(&job.identifier), &job.settings.identify);
    let (drafts, poor) = quality::quality(drafts, &job.settings.quality);
    let signed =
        sign::sign(drafts, &job.settings.sign, job.shard_keys(), Rc::clone(&credits), job.settings.seed);
    let notes = scope.concatenate([unread, uncut, foreign, poor]);
    Front { signed, notes, credits }
}

/// Counts the rows that could be read, and tells progress.
fn rows_read<'s>(
    rows: Stream<'s, Epoch, Rows>,
    job: &Job,
    share: &Rc<RefCell<Share>>,
) -> Stream<'s, Epoch, Rows> {
    let (progress, share) = (Arc::clone(&job.progress), Rc::clone(share));
    rows.inspect_core(move |event| {
        let Ok((_, rows)) = event else { return };
        progress.done(Stage::Read, rows.rows.len() as u64);
        let mut share = share.borrow_mut();
        rows.rows.iter().for_each(|row| share.hand(Stage::Read, row.lang, 1));
    })
}

/// Counts the rows that could not.
fn rows_unread<'s>(
    notes: Stream<'s, Epoch, Vec<Note>>,
    job: &Job,
    share: &Rc<RefCell<Share>>,
) -> Stream<'s, Epoch, Vec<Note>> {
    let (progress, share) = (Arc::clone(&job.progress), Rc::clone(share));
    notes.inspect(move |note| {
        progress.done(Stage::Read, 1);
        share.borrow_mut().hand(Stage::Read, note.lang, 1);
    })
}
