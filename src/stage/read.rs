//! Reads row groups under credits.
//!
//! **Why**: text enters the dataflow only as fast as it leaves it, and the next batch is decoded on a thread while
//! this one is worked on. One batch an activation keeps it in the cache of the stages that follow.
//! **In** the shared queue of row groups. **Out** readable rows; a note for every other row. All at epoch 0, or each row
//! group at its own.
//! A caller whose workers take all cores has no core for a thread of its own: there the worker decodes, and what was
//! decoded is still in its cache when it is signed.
//! **State** none beside two batches ahead. **Faults** null text, too long, not UTF-8, row group that does not decode.

use crate::model::{Epoch, Note, Rows};
use crate::source::Credits;
use crate::source::prefetch::{Ahead, Prefetch};
use crate::source::rows::Chunk;
use crate::source::tasks::{Reading, TaskRows};
use crate::stop::Stop;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::NoopBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};

/// Who decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// A thread, up to two batches ahead.
    Ahead,
    /// The worker, when it is asked for the next batch.
    Here,
}

enum Chunks {
    Ahead(Prefetch<Chunk>),
    Here(Box<TaskRows>),
}

impl Chunks {
    fn poll(&mut self, stop: &Stop) -> Ahead<Chunk> {
        match self {
            Self::Ahead(thread) => thread.poll(),
            Self::Here(rows) => match rows.next() {
                Some(Ok(chunk)) => Ahead::Ready(chunk),
                Some(Err(error)) => {
                    stop.raise(error);
                    Ahead::Ended
                }
                None => Ahead::Ended,
            },
        }
    }
}

/// Wires the reader of one worker; the contract is on the module page. `credits` are taken here; the stage that is
/// done with the text gives them back.
pub fn read<'s>(
    scope: Scope<'s, Epoch>,
    reading: &Arc<Reading>,
    credits: &Rc<Credits>,
    stop: &Stop,
) -> (Stream<'s, Epoch, Rows>, Stream<'s, Epoch, Vec<Note>>) {
    read_by(Decoding::Ahead, scope, reading, credits, stop)
}

/// As [`read`], decoded by whom the caller says.
pub fn read_by<'s>(
    decoding: Decoding,
    scope: Scope<'s, Epoch>,
    reading: &Arc<Reading>,
    credits: &Rc<Credits>,
    stop: &Stop,
) -> (Stream<'s, Epoch, Rows>, Stream<'s, Epoch, Vec<Note>>) {
    let mut builder = OperatorBuilder::new("read".into(), scope);
    let (rows_out, rows) = builder.new_output();
    let (notes_out, notes) = builder.new_output();
    let mut rows_out = OutputBuilder::<Epoch, NoopBuilder<Rows>>::from(rows_out);
    let mut notes_out = OutputBuilder::<Epoch, NoopBuilder<Vec<Note>>>::from(notes_out);
    let address = builder.operator_info().address;
    let again = scope.activator_for(Rc::clone(&address));
    credits.wakes(again.clone());
    let wake = scope.worker().sync_activator_for(address.to_vec());
    let tasks = TaskRows::new(Arc::clone(reading));
    let mut ahead = match decoding {
        Decoding::Here => Some(Chunks::Here(Box::new(tasks))),
        Decoding::Ahead => {
            let started = Prefetch::start("read", tasks, stop, wake);
            started.map_err(|error| stop.raise(error)).ok().map(Chunks::Ahead)
        }
    };
    // The first batch of a worker that decodes must not wait for an event.
    again.activate();
    let (credits, reading, stop) = (Rc::clone(credits), Arc::clone(reading), stop.clone());
    builder.build(move |caps| {
        let mut caps = Some(caps);
        move |_frontiers| {
            if stop.is_raised() {
                // The capabilities stay: a stopped run must not look like a complete one.
                ahead = None;
                return;
            }
            let (Some(chunks), Some([rows_cap, notes_cap])) = (&mut ahead, caps.as_deref_mut()) else {
                return;
            };
            if !credits.open() {
                return;
            }
            match chunks.poll(&stop) {
                Ahead::Ready(mut chunk) => {
                    reading.progress.count(&chunk);
                    if reading.epoch_per_task {
                        // A worker takes row groups in the order of their numbers.
                        rows_cap.downgrade(&chunk.number);
                        notes_cap.downgrade(&chunk.number);
                    }
                    if !chunk.rows.rows.is_empty() {
                        credits.take(chunk.rows.weight);
                        rows_out.activate().session_with_builder(&*rows_cap).give_container(&mut chunk.rows);
                    }
                    if !chunk.notes.is_empty() {
                        notes_out
                            .activate()
                            .session_with_builder(&*notes_cap)
                            .give_container(&mut chunk.notes);
                    }
                    again.activate();
                }
                Ahead::Pending => {}
                // A thread that failed raised the flag before it ended.
                Ahead::Ended if stop.is_raised() => {}
                Ahead::Ended => {
                    ahead = None;
                    caps = None;
                }
            }
        }
    });
    (rows, notes)
}
