//! Writes what the front makes of each row group, as soon as the row group is through.
//!
//! **Why**: reading is most of a first load, so a run that is killed must not begin again. Each row group is an epoch of
//! its own; once no more of it can come, its piece is written, and the next run leaves it out.
//! **In** signed fragments and notes, by row group, on the worker that read it. **Out** files. **State** the fragments of the
//! row groups that are open on this worker. **Faults** none of its own: a disk that fails ends the run.

use super::settle::Updates;
use crate::error::{Error, Result};
use crate::model::{Epoch, Lang, Note, Signed};
use crate::points::reached;
use crate::sink::file::away;
use crate::source::tasks::Task;
use crate::state::artefact::{Artefact, Made};
use crate::state::codec::Shape;
use crate::stop::Stop;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Rows that were read, by epoch, and by the lang that the shard says.
pub(crate) type ReadCounts = Rc<RefCell<BTreeMap<Epoch, BTreeMap<Lang, i64>>>>;

/// Where pieces go.
#[derive(Debug)]
pub(crate) struct PieceContext {
    /// The row group of each epoch.
    pub(crate) tasks: Vec<Task>,
    /// The folder of the pieces of each shard.
    pub(crate) folders: Vec<PathBuf>,
    /// Shape of signatures.
    pub(crate) shape: Shape,
}

/// Wires it.
pub(crate) fn pieces<'s>(
    signed: Stream<'s, Epoch, Updates<Signed>>,
    notes: Stream<'s, Epoch, Vec<Note>>,
    read: ReadCounts,
    ctx: Arc<PieceContext>,
    stop: Stop,
) {
    let mut builder = OperatorBuilder::new("pieces".to_owned(), signed.scope());
    let mut signed = builder.new_input(signed, Pipeline);
    let mut notes = builder.new_input(notes, Pipeline);
    builder.build(move |_| {
        let mut open: BTreeMap<Epoch, Made> = BTreeMap::new();
        move |frontiers| {
            signed.for_each(|_, updates| {
                for (row, epoch, _) in updates.drain(..) {
                    open.entry(epoch).or_default().rows.push(row);
                }
            });
            notes.for_each_stamp(|stamp, containers| {
                let Some(epoch) = stamp.least().copied() else { return };
                containers.for_each(|notes| open.entry(epoch).or_default().notes.append(notes));
            });
            let mut read = read.borrow_mut();
            while let Some(epoch) = open.keys().chain(read.keys()).min().copied() {
                if stop.is_raised() || frontiers.iter().any(|frontier| frontier.less_equal(&epoch)) {
                    return;
                }
                let mut made = open.remove(&epoch).unwrap_or_default();
                made.read = read.remove(&epoch).unwrap_or_default();
                if let Err(error) = write(&ctx, epoch, &made) {
                    stop.raise(error);
                }
            }
        }
    });
}

fn write(ctx: &PieceContext, epoch: Epoch, made: &Made) -> Result<()> {
    let task = usize::try_from(epoch).ok().and_then(|at| ctx.tasks.get(at));
    let folder = task.and_then(|task| ctx.folders.get(task.shard as usize));
    let (Some(task), Some(folder)) = (task, folder) else {
        return Err(Error::bug(format!("row group unknown: number={epoch}")));
    };
    std::fs::create_dir_all(folder).map_err(|cause| away("folder not made", folder, cause))?;
    Artefact::write(&folder.join(task.row_group.to_string()), made, ctx.shape)?;
    reached("piece written");
    Ok(())
}
