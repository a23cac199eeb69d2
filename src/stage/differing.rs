//! What differs between the artefacts of shards as they were and as they are: signed rows, and the ends of others.
//!
//! **Why**: everything behind the front takes differences alone.
//! **In** nothing. **Out** rows or notes, at epoch 1: those that come at +1, those that go at −1; a share of each shard on
//! each worker, as there may be one shard alone. **State** none. **Faults** damage and a disk that fails end the run.

use super::gather::{Give, feed};
use crate::error::Result;
use crate::model::{Epoch, Note, Signed};
use crate::state::artefact::{Artefact, Share, notes_between, rows_between};
use crate::state::codec::Shape;
use crate::state::shards::Differing;
use crate::stop::Stop;
use differential_dataflow::{ExchangeData, VecCollection};
use std::sync::Arc;
use timely::dataflow::Scope;

/// Signed rows, of this shape.
pub(crate) fn signed<'s>(
    scope: Scope<'s, Epoch>,
    differing: Arc<[Differing]>,
    shape: Shape,
    stop: &Stop,
) -> VecCollection<'s, Epoch, Signed> {
    fed(scope, "artefacts", differing, stop, move |(shard, old, new), share, out| {
        rows_between(old.as_ref(), new.as_ref(), *shard, share, shape, |row, diff| out.now(row, diff))
    })
}

/// Ends of rows and fragments that went no further than the front.
pub(crate) fn notes<'s>(
    scope: Scope<'s, Epoch>,
    differing: Arc<[Differing]>,
    stop: &Stop,
) -> VecCollection<'s, Epoch, Note> {
    fed(scope, "notes", differing, stop, |(shard, old, new), share, out| {
        notes_between(old.as_ref(), new.as_ref(), *shard, share, |note, diff| out.now(note, diff))
    })
}

/// What `give` finds in the share of each shard that this worker has.
fn fed<'s, T: ExchangeData>(
    scope: Scope<'s, Epoch>,
    name: &str,
    differing: Arc<[Differing]>,
    stop: &Stop,
    give: impl Fn(&Differing, Share, &mut Give<'_, T>) -> Result<()> + Send + 'static,
) -> VecCollection<'s, Epoch, T> {
    let (index, peers) = (scope.index(), scope.peers());
    feed(scope, name, stop, move |out| {
        differing.iter().try_for_each(|shard| {
            let (_, old, new) = shard;
            give(shard, Artefact::share(old.as_ref(), new.as_ref(), index, peers), out)
        })
    })
}
