//! The front of one worker: row groups to signed fragments. Text never leaves it.

use super::job::Job;
use crate::model::{Epoch, Note, Signed};
use crate::source::Credits;
use crate::stage::segment::Segmenter;
use crate::stage::settle::Updates;
use crate::stage::{identify, quality, read, segment, sign};
use crate::stop::Stop;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::Concatenate;
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
pub(super) fn front<'s>(scope: Scope<'s, Epoch>, job: &Arc<Job>, stop: &Stop) -> Front<'s> {
    let source = &job.settings.source;
    let credits = Credits::new(source.in_flight_rows, source.in_flight_bytes);
    let (rows, unread) = read::read(scope, &job.reading, &credits, stop);
    let (drafts, uncut) = segment::segment(rows, Segmenter::new(&job.settings.segment));
    let (drafts, foreign) = identify::identify(drafts, Arc::clone(&job.identifier), &job.settings.identify);
    let (drafts, poor) = quality::quality(drafts, &job.settings.quality);
    let signed =
        sign::sign(drafts, &job.settings.sign, job.shard_keys(), Rc::clone(&credits), job.settings.seed);
    let notes = scope.concatenate([unread, uncut, foreign, poor]);
    Front { signed, notes, credits }
}
