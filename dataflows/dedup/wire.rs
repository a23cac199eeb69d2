//! The whole dataflow of one worker, with its state in memory.

use super::job::Job;
use crate::error::Result;
use crate::model::{Epoch, Note, Rows, Stage};
use crate::source::Credits;
use crate::source::tasks::Reading;
use crate::stage::dedup::{ClusterState, Clusters, Membership, MemoryDedup, Resembling};
use crate::stage::read::{Decoding, read_by};
use crate::stage::sign::sign_rows;
use crate::stop::Stop;
use differential_dataflow::{AsCollection, Data, VecCollection};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::Inspect;
use timely::dataflow::{Scope, Stream};
use timely::worker::Worker;

/// What one worker has when the dataflow is complete, in any order, with counts.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Rows that could not be read.
    pub(super) faults: Vec<Note>,
    /// Rows of clusters of two rows or more.
    pub(super) members: Vec<(Membership, isize)>,
    /// Verified pairs.
    pub(super) pairs: Vec<(Resembling, isize)>,
    /// The most bytes of text between reader and signature.
    pub(super) in_flight: u64,
}

/// Builds the dataflow on one worker; the closure gives its share once the dataflow is complete.
pub(super) fn build(
    worker: &mut Worker,
    job: &Arc<Job>,
    stop: &Stop,
) -> impl FnOnce() -> Result<Share> + use<> {
    let share = Rc::new(RefCell::new(Share::default()));
    let credits = credits(job);
    worker.dataflow::<Epoch, _, _>(|scope| {
        let (rows, unread) = read(scope, job, &job.reading, &credits, stop);
        let faults = Rc::clone(&share);
        unread.inspect(move |note| faults.borrow_mut().faults.push(*note));
        let signed = sign_rows(
            rows,
            &job.settings.sign,
            Rc::clone(&credits),
            Arc::clone(&job.reading.tasks),
            stop.clone(),
        );
        let state = MemoryDedup::new(job.settings.dedup.clone());
        let Clusters { members, pairs } = state.clusters(signed.as_collection());
        collect(members, &share, |share| &mut share.members);
        collect(pairs, &share, |share| &mut share.pairs);
    });
    move || {
        let mut share = share.take();
        share.in_flight = credits.peak_bytes();
        Ok(share)
    }
}

/// What bounds the text of one worker.
pub(super) fn credits(job: &Job) -> Rc<Credits> {
    let source = &job.settings.source;
    Credits::new(source.in_flight_rows, source.in_flight_bytes)
}

/// Rows that can be read, and the ends of those that cannot; both are told as progress.
pub(super) fn read<'s>(
    scope: Scope<'s, Epoch>,
    job: &Job,
    reading: &Arc<Reading>,
    credits: &Rc<Credits>,
    stop: &Stop,
) -> (Stream<'s, Epoch, Rows>, Stream<'s, Epoch, Vec<Note>>) {
    let (rows, unread) = read_by(Decoding::Here, scope, reading, credits, stop);
    let progress = Arc::clone(&job.progress);
    let rows = rows.inspect_core(move |event| {
        if let Ok((_, rows)) = event {
            progress.done(Stage::Read, rows.rows.len() as u64);
        }
    });
    let progress = Arc::clone(&job.progress);
    (rows, unread.inspect(move |_| progress.done(Stage::Read, 1)))
}

fn collect<D: Data>(
    rows: VecCollection<'_, Epoch, D>,
    share: &Rc<RefCell<Share>>,
    into: impl Fn(&mut Share) -> &mut Vec<(D, isize)> + 'static,
) {
    let share = Rc::clone(share);
    rows.inspect(move |(row, _, diff)| into(&mut share.borrow_mut()).push((row.clone(), *diff)));
}
