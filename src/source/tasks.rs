//! Which row groups are still to be read, and how far the reading is.
//!
//! **Why**: the workers take row groups from one queue, so one big shard keeps them all busy and a slow worker
//! takes fewer. Which worker reads a row changes nothing in the output.

use super::list::Shard;
use super::open::Open;
use super::rows::{Chunk, GroupRows};
use super::settings::SourceSettings;
use super::shard::{Opened, Survey};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One row group to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Task {
    /// Position of the shard's key in the run's sorted list.
    pub shard: u32,
    /// The row group, from 0.
    pub row_group: u32,
}

/// The rows of these row groups.
pub(crate) fn rows_of(tasks: &[Task], surveys: &[Survey]) -> u64 {
    let rows =
        |task: &Task| surveys.get(task.shard as usize)?.row_groups.get(task.row_group as usize).copied();
    tasks.iter().filter_map(rows).map(u64::from).sum()
}

/// Gives the next row group and its number, from another process.
type Elsewhere = Box<dyn Fn() -> Option<(u64, Task)> + Send + Sync>;

/// The row groups that no worker has taken yet.
#[derive(Default)]
pub struct TaskQueue {
    tasks: Mutex<VecDeque<(u64, Task)>>,
    elsewhere: Option<Elsewhere>,
    /// Readers that began, and those of them that found nothing left.
    began: AtomicUsize,
    ended: AtomicUsize,
}

impl TaskQueue {
    /// A queue of these tasks, taken in this order.
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        Self { tasks: Mutex::new((0..).zip(tasks).collect()), ..Self::default() }
    }

    /// A queue that another process keeps: what `take` gives, in ascending order of numbers.
    pub(crate) fn elsewhere(take: impl Fn() -> Option<(u64, Task)> + Send + Sync + 'static) -> Self {
        Self { elsewhere: Some(Box::new(take)), ..Self::default() }
    }

    /// Every row group of the surveyed shards, in order. Empty ones have no row to read.
    pub fn all(surveys: &[Survey]) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self::new(surveys.iter().enumerate().flat_map(|(shard, survey)| {
            let groups = survey.row_groups.iter().enumerate().filter(|(_, rows)| **rows > 0);
            groups.map(move |(group, _)| Task { shard: number(shard), row_group: number(group) })
        }))
    }

    /// Takes the next one, with its number in the queue: numbers ascend from 0.
    pub fn take(&self) -> Option<(u64, Task)> {
        if let Some(elsewhere) = &self.elsewhere {
            return elsewhere();
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// How many readers of this process are through, for each one that is not: what a worker that still has text may
    /// have done by threads of its own, so that the last row group keeps all cores busy.
    pub fn idle_for_each(&self) -> usize {
        let ended = self.ended.load(Ordering::Relaxed);
        let open = self.began.load(Ordering::Relaxed).saturating_sub(ended);
        ended.checked_div(open).unwrap_or(0)
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// How far the workers are, together. Counted as text enters the dataflow.
#[derive(Debug, Default)]
pub struct ReadProgress {
    /// Rows read, faulted ones too.
    pub rows: AtomicU64,
    /// Of these, faulted.
    pub faults: AtomicU64,
    /// Bytes of text.
    pub bytes: AtomicU64,
    /// Row groups read to their end.
    pub tasks: AtomicU64,
}

impl ReadProgress {
    /// Counts a chunk.
    pub fn count(&self, chunk: &Chunk) {
        let add = |counter: &AtomicU64, by: usize| counter.fetch_add(by as u64, Ordering::Relaxed);
        add(&self.rows, chunk.rows.rows.len() + chunk.notes.len());
        add(&self.faults, chunk.notes.len());
        self.bytes.fetch_add(chunk.rows.weight.bytes, Ordering::Relaxed);
        add(&self.tasks, usize::from(chunk.ended));
    }
}

/// What every reader of a run shares.
pub struct Reading {
    /// The shards, sorted by key.
    pub shards: Arc<[Shard]>,
    /// How they are opened.
    pub open: Arc<dyn Open>,
    /// Limits and columns.
    pub settings: SourceSettings,
    /// What is left to read.
    pub tasks: Arc<TaskQueue>,
    /// Each row group is an epoch of its own, by its number in the queue; if not, all are epoch 0.
    pub epoch_per_task: bool,
    /// How far the reading is.
    pub progress: Arc<ReadProgress>,
}

impl Reading {
    /// The same shards, read the same way: these row groups, each at an epoch of its own.
    pub(crate) fn of(&self, tasks: Arc<TaskQueue>) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
            open: Arc::clone(&self.open),
            settings: self.settings.clone(),
            tasks,
            epoch_per_task: true,
            progress: Arc::default(),
        }
    }
}

/// Reads row groups from the queue until it is empty.
pub(crate) struct TaskRows {
    reading: Arc<Reading>,
    opened: Option<(u32, Arc<Opened>)>,
    group: Option<GroupRows>,
    number: u64,
    ended: bool,
}

impl TaskRows {
    pub(crate) fn new(reading: Arc<Reading>) -> Self {
        reading.tasks.began.fetch_add(1, Ordering::Relaxed);
        Self { reading, opened: None, group: None, number: 0, ended: false }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.reading.tasks.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn step(&mut self) -> Result<Option<Chunk>> {
        loop {
            if let Some(group) = &mut self.group {
                if let Some(mut chunk) = group.next()? {
                    chunk.number = self.number;
                    return Ok(Some(chunk));
                }
                self.group = None;
            }
            let Some((number, task)) = self.reading.tasks.take() else {
                self.end();
                return Ok(None);
            };
            self.number = number;
            let Some(opened) = self.opened(task.shard)? else { continue };
            self.group =
                Some(GroupRows::new(task.shard, &opened, task.row_group as usize, &self.reading.settings));
        }
    }

    /// The shard, opened once while its row groups follow each other.
    fn opened(&mut self, shard: u32) -> Result<Option<Arc<Opened>>> {
        if let Some((open, opened)) = &self.opened
            && *open == shard
        {
            return Ok(Some(Arc::clone(opened)));
        }
        let Some(wanted) = self.reading.shards.get(shard as usize) else { return Ok(None) };
        let opened =
            Arc::new(Opened::new(wanted, self.reading.open.as_ref(), &self.reading.settings.columns)?);
        self.opened = Some((shard, Arc::clone(&opened)));
        Ok(Some(opened))
    }
}

impl Drop for TaskRows {
    fn drop(&mut self) {
        self.end();
    }
}

impl Iterator for TaskRows {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
