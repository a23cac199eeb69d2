//! What differs between the artefacts of shards as they were and as they are: signed rows, and the ends of others.
//!
//! **Why**: everything behind the front takes differences alone.
//! **In** nothing. **Out** rows or notes, at epoch 1: those that come at +1, those that go at −1; a share of each shard on
//! each worker, as there may be one shard alone. **State** none. **Faults** damage and a disk that fails end the run.

use super::gather::feed;
use crate::model::{Epoch, Note, Signed};
use crate::state::artefact::{Artefact, notes_between, rows_between};
use crate::state::codec::Shape;
use crate::state::shards::Differing;
use crate::stop::Stop;
use differential_dataflow::VecCollection;
use std::sync::Arc;
use timely::dataflow::Scope;

/// Signed rows, of this shape.
pub(crate) fn signed<'s>(
    scope: Scope<'s, Epoch>,
    differing: Arc<[Differing]>,
    shape: Shape,
    stop: &Stop,
) -> VecCollection<'s, Epoch, Signed> {
    let (index, peers) = (scope.index(), scope.peers());
    feed(scope, "artefacts", stop, move |out| {
        differing.iter().try_for_each(|(shard, old, new)| {
            let share = Artefact::share(old.as_ref(), new.as_ref(), index, peers);
            rows_between(old.as_ref(), new.as_ref(), *shard, share, shape, |row, diff| out.now(row, diff))
        })
    })
}

/// Ends of rows and fragments that went no further than the front.
pub(crate) fn notes<'s>(
    scope: Scope<'s, Epoch>,
    differing: Arc<[Differing]>,
    stop: &Stop,
) -> VecCollection<'s, Epoch, Note> {
    let (index, peers) = (scope.index(), scope.peers());
    feed(scope, "notes", stop, move |out| {
        differing.iter().try_for_each(|(shard, old, new)| {
            let share = Artefact::share(old.as_ref(), new.as_ref(), index, peers);
            notes_between(old.as_ref(), new.as_ref(), *shard, share, |note, diff| out.now(note, diff))
        })
    })
}
