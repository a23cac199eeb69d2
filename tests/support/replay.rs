//! Replays a script through a stage and says what stood in its output after each epoch.

use differential_dataflow::input::Input;
use differential_dataflow::{ExchangeData, VecCollection};
use isogloss::model::{Epoch, Note};
use isogloss::stage::verdicts::Verdicts;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use timely::dataflow::ProbeHandle;

/// One epoch's updates: a row and whether it is inserted or retracted.
pub(crate) type Changes<D> = Vec<(D, isize)>;

/// How a script is replayed; no result may depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Workers; updates go in at all of them in turn, so a row may be retracted elsewhere than it was inserted.
    pub(crate) workers: usize,
    /// Whether each epoch is finished before the next begins.
    pub(crate) wait: bool,
}

/// What stood in the output after an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome<R: Ord> {
    /// Kept rows and their count.
    pub(crate) kept: BTreeMap<R, isize>,
    /// Notes and their count.
    pub(crate) dropped: BTreeMap<Note, isize>,
    /// Updates of this epoch in the two collections: no row twice, if they are consolidated.
    pub(crate) changes: Vec<(R, isize)>,
}

type Log<R> = Arc<Mutex<Vec<(R, Epoch, isize)>>>;

/// The outcome after each epoch of the script.
pub(crate) fn replay<D, R, F>(script: &[Changes<D>], manner: Manner, stage: F) -> Vec<Outcome<R>>
where
    D: ExchangeData + Sync,
    R: ExchangeData,
    F: for<'s> Fn(VecCollection<'s, Epoch, D>) -> Verdicts<'s, R> + Send + Sync + 'static,
{
    let (kept, dropped) = (Log::<R>::default(), Log::<Note>::default());
    let (kept_log, dropped_log) = (Arc::clone(&kept), Arc::clone(&dropped));
    let fed = script.to_vec();
    let guards = timely::execute(timely::Config::process(manner.workers), move |worker| {
        let probe = ProbeHandle::new();
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, rows) = scope.new_collection();
            let verdicts = stage(rows);
            write_down(verdicts.kept, &kept_log, &probe);
            write_down(verdicts.dropped, &dropped_log, &probe);
            input
        });
        for (epoch, changes) in fed.iter().enumerate() {
            for (i, (row, diff)) in changes.iter().enumerate() {
                if i % worker.peers() == worker.index() {
                    input.update(row.clone(), *diff);
                }
                // Now and then, so that messages of one epoch arrive in pieces.
                if i % 7 == 6 {
                    input.flush();
                    worker.step();
                }
            }
            input.advance_to(epoch as Epoch + 1);
            input.flush();
            while manner.wait && probe.less_than(&(epoch as Epoch + 1)) {
                worker.step_or_park(None);
            }
        }
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|ended| ended.expect("no worker panics"));
    let (kept, dropped) = (taken(&kept), taken(&dropped));
    let standing = |epoch| {
        let changes =
            kept.iter().filter(|(_, at, _)| *at == epoch).map(|(row, _, diff)| (row.clone(), *diff));
        Outcome { kept: sums(&kept, epoch), dropped: sums(&dropped, epoch), changes: changes.collect() }
    };
    (0..script.len() as Epoch).map(standing).collect()
}

fn write_down<R: ExchangeData>(rows: VecCollection<'_, Epoch, R>, log: &Log<R>, probe: &ProbeHandle<Epoch>) {
    let log = Arc::clone(log);
    rows.inspect(move |update| log.lock().expect("no writer panicked").push(update.clone()))
        .probe_with(probe);
}

fn taken<R>(log: &Log<R>) -> Vec<(R, Epoch, isize)> {
    std::mem::take(&mut *log.lock().expect("no writer panicked"))
}

fn sums<R: Ord + Clone>(updates: &[(R, Epoch, isize)], epoch: Epoch) -> BTreeMap<R, isize> {
    let mut sums = BTreeMap::new();
    for (row, _, diff) in updates.iter().filter(|(_, at, _)| *at <= epoch) {
        *sums.entry(row.clone()).or_default() += diff;
    }
    sums.retain(|_, count| *count != 0);
    sums
}

/// The rows that a script leaves after its first epochs.
pub(crate) fn present<D: Ord + Clone>(script: &[Changes<D>]) -> Vec<D> {
    let mut sums: BTreeMap<D, isize> = BTreeMap::new();
    for (row, diff) in script.iter().flatten() {
        *sums.entry(row.clone()).or_default() += diff;
    }
    assert!(sums.values().all(|count| *count == 0 || *count == 1), "a script retracts what is there");
    sums.into_iter().filter(|(_, count)| *count == 1).map(|(row, _)| row).collect()
}

/// Compares epoch by epoch, and says that nothing is corrected within one.
pub(crate) fn agree<D: Ord + Clone, R: Ord + Clone + Debug>(
    script: &[Changes<D>],
    answers: Vec<Outcome<R>>,
    oracle: impl Fn(&[D]) -> Outcome<R>,
) -> Result<(), TestCaseError> {
    for (epoch, answer) in answers.into_iter().enumerate() {
        let rows = present(&script[..=epoch]);
        let expected = oracle(&rows);
        prop_assert_eq!(&answer.kept, &expected.kept, "kept at epoch {}", epoch);
        prop_assert_eq!(&answer.dropped, &expected.dropped, "dropped at epoch {}", epoch);
        prop_assert_eq!(answer.kept.len() + answer.dropped.len(), rows.len(), "conserved at epoch {}", epoch);
        let changed: BTreeSet<&R> = answer.changes.iter().map(|(row, _)| row).collect();
        prop_assert_eq!(changed.len(), answer.changes.len(), "a change at epoch {} comes twice", epoch);
    }
    Ok(())
}
