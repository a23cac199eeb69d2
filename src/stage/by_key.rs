//! Grouping, with every arrangement under the name of its stage.

use crate::model::Epoch;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::Arranged;
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine, ValBuilder, ValSpine};
use differential_dataflow::{Data, ExchangeData, VecCollection};
use std::hash::Hash;

/// An arrangement in memory.
pub(crate) type ByKey<'s, K, V> = Arranged<'s, TraceAgent<ValSpine<K, V, Epoch, isize>>>;

/// Groups rows by key under `name`, applies `logic` to each group, keeps the results under `name_out`.
pub(crate) fn reduce<'s, K, V, W>(
    name: &str,
    rows: VecCollection<'s, Epoch, (K, V)>,
    logic: impl FnMut(&K, &[(&V, isize)], &mut Vec<(W, isize)>) + 'static,
) -> VecCollection<'s, Epoch, (K, W)>
where
    K: ExchangeData + Hash,
    V: ExchangeData,
    W: Data,
{
    reduce_arranged(name, rows.arrange_by_key_named(name), logic)
}

/// As [`reduce`], of rows that are grouped already.
pub(crate) fn reduce_arranged<'s, K, V, W>(
    name: &str,
    rows: ByKey<'s, K, V>,
    logic: impl FnMut(&K, &[(&V, isize)], &mut Vec<(W, isize)>) + 'static,
) -> VecCollection<'s, Epoch, (K, W)>
where
    K: ExchangeData + Hash,
    V: ExchangeData,
    W: Data,
{
    rows.reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<K, W, Epoch, isize>, _, _>(
        &format!("{name}_out"),
        logic,
        |updates, key, values| {
            updates.clear();
            updates.extend(values.drain(..).map(|(value, time, diff)| ((key.clone(), value), time, diff)));
        },
    )
    .as_collection(|key, value| (key.clone(), value.clone()))
}

/// Waits for an epoch to end and cancels what came and went within it.
pub(crate) fn consolidate<'s, D: ExchangeData + Hash>(
    name: &str,
    rows: VecCollection<'s, Epoch, D>,
) -> VecCollection<'s, Epoch, D> {
    rows.consolidate_named::<_, KeySpine<D, Epoch, isize>, _>(name, KeyBatcher::new, |row, ()| row.clone())
}
