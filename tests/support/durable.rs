//! Replays a script through a durable stage: a state in a folder, opened and committed for every epoch.

use super::support::replay::{Changes, Outcome};
use differential_dataflow::input::Input;
use differential_dataflow::{ExchangeData, VecCollection};
use isogloss::model::{Epoch, Note};
use isogloss::stage::durable::DurableStages;
use isogloss::stage::verdicts::Verdicts;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Shards that scripts name, and the shape of their signatures.
pub(crate) const SHAPE: (u32, (usize, usize)) = (3, (3, 16));

/// The outcome after each epoch; `workers` says how many run each of them, in turn.
pub(crate) fn replay_durably<D, R, F>(script: &[Changes<D>], workers: &[usize], stage: F) -> Vec<Outcome<R>>
where
    D: ExchangeData + Sync,
    R: ExchangeData,
    F: for<'s> Fn(&DurableStages, VecCollection<'s, Epoch, D>) -> Verdicts<'s, R> + Send + Sync + 'static,
{
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Arc::new(stage);
    let (mut kept, mut dropped) = (BTreeMap::new(), BTreeMap::new());
    let mut outcomes = Vec::new();
    for (epoch, (changes, workers)) in (0..).zip(script.iter().zip(workers.iter().cycle())) {
        let delta = delta(folder.path(), epoch, changes, *workers, Arc::clone(&stage));
        let mut changes = Vec::new();
        for (row, diff) in delta.0 {
            changes.push((row.clone(), diff));
            *kept.entry(row).or_default() += diff;
        }
        for (note, diff) in delta.1 {
            *dropped.entry(note).or_default() += diff;
        }
        kept.retain(|_, count: &mut isize| *count != 0);
        dropped.retain(|_, count: &mut isize| *count != 0);
        outcomes.push(Outcome { kept: kept.clone(), dropped: dropped.clone(), changes });
    }
    outcomes
}

type Log<R> = Arc<Mutex<Vec<(R, isize)>>>;

/// Runs one epoch and commits it.
fn delta<D, R, F>(
    folder: &Path,
    epoch: u64,
    changes: &[(D, isize)],
    workers: usize,
    stage: Arc<F>,
) -> (Vec<(R, isize)>, Vec<(Note, isize)>)
where
    D: ExchangeData + Sync,
    R: ExchangeData,
    F: for<'s> Fn(&DurableStages, VecCollection<'s, Epoch, D>) -> Verdicts<'s, R> + Send + Sync + 'static,
{
    let (shards, shape) = SHAPE;
    // So little room that everything is sorted on disk.
    let stages = DurableStages::open(folder, epoch, shards, shape, 1).expect("a state");
    let (kept, dropped) = (Log::<R>::default(), Log::<Note>::default());
    let logs = (Arc::clone(&kept), Arc::clone(&dropped));
    let (fed, used) = (changes.to_vec(), stages.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let logs = (Arc::clone(&logs.0), Arc::clone(&logs.1));
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, rows) = scope.new_collection();
            let verdicts = stage(&used, rows);
            write_down(verdicts.kept, logs.0);
            write_down(verdicts.dropped, logs.1);
            input
        });
        input.advance_to(1);
        for (row, diff) in fed.iter().skip(worker.index()).step_by(worker.peers()) {
            input.update(row.clone(), *diff);
        }
        input.close();
        while worker.has_dataflows() {
            worker.step_or_park(None);
            if used.stop().is_raised() {
                for dataflow in worker.installed_dataflows() {
                    worker.drop_dataflow(dataflow);
                }
            }
        }
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|ended| ended.expect("no worker panics"));
    stages.commit(folder, epoch + 1).expect("committed");
    (taken(&kept), taken(&dropped))
}

fn write_down<R: ExchangeData>(rows: VecCollection<'_, Epoch, R>, log: Log<R>) {
    rows.inspect(move |(row, epoch, diff)| {
        assert_eq!(*epoch, 1, "only what changes is given");
        log.lock().expect("no writer panicked").push((row.clone(), *diff));
    });
}

fn taken<R>(log: &Log<R>) -> Vec<(R, isize)> {
    std::mem::take(&mut *log.lock().expect("no writer panicked"))
}
