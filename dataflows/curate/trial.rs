//! A sample of what a run would ask, read and looked up in the journal, and asked of nobody.
//!
//! **Why**: before the first run of an output nothing is known of it, and a changed prompt may find all answers or none. So
//! a few row groups are read as the run would read them, and a few fragments of each lang go through the stages as far as the
//! journal answers. Which ones is a function of the shards alone.

use super::estimate::{CHARACTERS_PER_TOKEN, ceiling};
use super::front::Front;
use super::job::{Job, reading};
use super::models::chain;
use super::roles::Roles;
use crate::error::{Error, Result};
use crate::llm::Role;
use crate::llm::desk::meter::serving;
use crate::llm::desk::{Missed, Peek};
use crate::model::{Exchange, FragmentRow, Lang, Place, Signed};
use crate::source::reread::{Bundles, Wanted};
use crate::source::tasks::{Task, TaskQueue};
use crate::stage::gates::in_english;
use crate::stage::pieces::ReadCounts;
use crate::state::artefact::{ALL, Artefact, pieces, rows_between};
use crate::stop::Stop;
use crate::workers;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::Inspect;
use xxhash_rust::xxh3::xxh3_64;

/// Rows that are read, if there are as many: row groups are read whole.
const ROWS: u64 = 2000;
/// Fragments of each lang that are looked up.
const LOOKED_UP: usize = 24;

/// What was found of a lang.
#[derive(Debug, Clone, Default)]
pub(super) struct Sampled {
    /// Fragments that were looked up.
    pub(super) rows: u64,
    /// Tokens of their English, about.
    pub(super) english_tokens: u64,
    /// Rows that came to a role, and of these those whose answer by it, or by a role before it, is missing.
    pub(super) met: BTreeMap<Role, (u64, u64)>,
    /// What is missing, where it could be asked.
    pub(super) missed: BTreeMap<Role, Missed>,
}

impl Sampled {
    /// Which share of the rows comes to a role, at most; 1 where nothing was looked up.
    pub(super) fn comes(&self, role: Role) -> f64 {
        share(self.met.get(&role).map_or(0, |(came, _)| *came), self.rows)
    }

    /// For which share of the rows that come to a role it would be asked; 1 where nothing was looked up.
    pub(super) fn open(&self, role: Role) -> f64 {
        let (came, open) = self.met.get(&role).copied().unwrap_or_default();
        share(open, came)
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { part as f64 / all as f64 }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Rows read, and rows of all that a run would read.
    pub(super) read: u64,
    pub(super) of: u64,
    /// Distinct fragments of those read that pass the front.
    pub(super) found: BTreeMap<Lang, u64>,
    /// Fragments that artefacts have and the state has not, withdrawn ones counted down.
    pub(super) differing: BTreeMap<Lang, i64>,
    /// Of what is new.
    pub(super) new: BTreeMap<Lang, Sampled>,
    /// Of what the state holds and a role may be asked again.
    pub(super) again: BTreeMap<Lang, Sampled>,
}

impl Trial {
    /// Langs of which something is new.
    pub(super) fn langs(&self) -> BTreeSet<Lang> {
        self.found.keys().chain(self.differing.keys()).copied().collect()
    }

    /// New fragments of a lang, about.
    pub(super) fn fragments(&self, lang: Lang) -> f64 {
        let found = self.found.get(&lang).copied().unwrap_or(0) as f64;
        let scale = if self.read == 0 { 0.0 } else { self.of as f64 / self.read as f64 };
        found * scale + self.differing.get(&lang).map_or(0.0, |rows| (*rows).max(0) as f64)
    }
}

/// Reads and looks up.
///
/// # Errors
/// A shard that cannot be read, or a journal.
pub(super) fn trial(job: &Arc<Job>, again: bool) -> Result<Trial> {
    let stop = Stop::default();
    let mut trial = Trial::default();
    let tasks = sampled(job, &mut trial);
    let peek = Arc::new(Peek::default());
    let roles = job.asking()?.peeking(&job.settings, &job.identifier, &peek, &stop)?;
    let mut few = Few::default();
    if !tasks.is_empty() {
        let (rows, read) = fragments(job, tasks, &stop)?;
        trial.read = read;
        let mut seen = BTreeSet::new();
        for row in rows.into_iter().filter(|row| seen.insert((row.lang, row.content))) {
            *trial.found.entry(row.lang).or_default() += 1;
            few.add(row);
        }
    }
    made(job, &mut trial.differing, &mut few)?;
    trial.new = looked_up(job, &roles, &peek, few)?;
    if again {
        trial.again = looked_up(job, &roles, &peek, admitted(job)?)?;
    }
    Ok(trial)
}

/// Row groups that stand for all that are to be read: in the order of their hashes, so that none is preferred.
fn sampled(job: &Job, trial: &mut Trial) -> Vec<Task> {
    let rows = |task: &Task| {
        let survey = job.surveys.get(task.shard as usize);
        survey.and_then(|survey| survey.row_groups.get(task.row_group as usize)).copied().map_or(0, u64::from)
    };
    let queue = TaskQueue::all(&job.surveys);
    let mut all: Vec<Task> = match &job.change {
        Some(change) => change.missing.clone(),
        None => std::iter::from_fn(|| queue.take()).map(|(_, task)| task).collect(),
    };
    trial.of = all.iter().map(rows).sum();
    let order = |task: &Task| {
        let key = job.entries.get(task.shard as usize).map_or("", |entry| entry.key.as_str());
        (xxh3_64(format!("{key}/{}", task.row_group).as_bytes()), *task)
    };
    all.sort_by_cached_key(order);
    let mut sum = 0;
    all.into_iter()
        .take_while(|task| {
            let wanted = sum < ROWS;
            sum += rows(task);
            wanted
        })
        .collect()
}

/// The fragments of these row groups, in the order of their places, and how many rows were read.
fn fragments(job: &Arc<Job>, tasks: Vec<Task>, stop: &Stop) -> Result<(Vec<FragmentRow>, u64)> {
    let shards = Arc::clone(&job.reading.shards);
    let reading = Arc::new(reading(&job.settings, shards, TaskQueue::new(tasks)));
    let (ctx, flag) = (Arc::new(job.front(reading)), stop.clone());
    let parts = workers::run(job.settings.workers, stop, move |worker| {
        let found = Rc::new(RefCell::new(Vec::new()));
        let (into, read) = (Rc::clone(&found), ReadCounts::default());
        worker.dataflow(|scope| {
            let signed = Front::new(scope, &ctx, &read).whole(&flag);
            signed.inspect(move |(signed, _, _)| into.borrow_mut().push(signed.row.clone()));
        });
        Ok(move || {
            let read = read.borrow().values().flatten().map(|(_, count)| *count).sum::<i64>();
            Ok((found.take(), u64::try_from(read).unwrap_or(0)))
        })
    })?;
    let read = parts.iter().map(|(_, read)| read).sum();
    let mut rows: Vec<FragmentRow> = parts.into_iter().flat_map(|(rows, _)| rows).collect();
    rows.sort_unstable_by_key(|row| row.place);
    Ok((rows, read))
}

/// Counts in what artefacts and pieces that are made already differ from those of the state.
fn made(job: &Job, differing: &mut BTreeMap<Lang, i64>, few: &mut Few) -> Result<()> {
    let Some(change) = job.change.as_deref() else { return Ok(()) };
    let folder = change.store.artefacts();
    for member in &change.members {
        let Some((at, _, name)) = &member.new else { continue };
        if member.old.as_ref() == Some(name) {
            continue;
        }
        let shard = u32::try_from(*at).unwrap_or(u32::MAX);
        let mut count = |signed: Signed, diff: isize| {
            *differing.entry(signed.row.lang).or_default() += diff as i64;
            if diff > 0 {
                few.add(signed.row);
            }
            Ok(())
        };
        if change.unsealed.binary_search(at).is_err() {
            let old =
                member.old.as_ref().map(|name| Artefact::open(&folder.join(name))).transpose()?.flatten();
            let new = Artefact::open(&folder.join(name))?;
            rows_between(old.as_ref(), new.as_ref(), shard, ALL, change.shape, &mut count)?;
            continue;
        }
        let groups = job.surveys.get(*at).map_or(0, |survey| survey.row_groups.len());
        for group in (0..groups).filter_map(|group| u32::try_from(group).ok()) {
            let missing = Task { shard, row_group: group };
            let path = pieces(&folder, name).join(group.to_string());
            if change.missing.binary_search(&missing).is_err() && path.is_file() {
                rows_between(None, Artefact::open(&path)?.as_ref(), shard, ALL, change.shape, &mut count)?;
            }
        }
    }
    Ok(())
}

/// What the models were asked for the state, with the places of this run's list.
fn admitted(job: &Job) -> Result<Few> {
    let mut few = Few::default();
    let Some(change) = job.change.as_deref() else { return Ok(few) };
    let listed = |shard: u32| change.members.get(shard as usize)?.new.as_ref().map(|(at, ..)| *at);
    let mut rows = change.store.table("admitted").scan(&[])?;
    while rows.next()? {
        let mut row = change.codec.by_tick(&mut rows.key());
        if let Some(at) = listed(row.place.shard) {
            row.place.shard = u32::try_from(at).unwrap_or(u32::MAX);
            few.add(row);
        }
    }
    Ok(few)
}

/// A few rows of each lang: those of the least ticks, as the sample takes them.
#[derive(Default)]
struct Few(BTreeMap<Lang, BTreeSet<(u64, Place, u128)>>);

impl Few {
    fn add(&mut self, row: FragmentRow) {
        let rows = self.0.entry(row.lang).or_default();
        rows.insert((row.tick, row.place, row.content));
        if rows.len() > LOOKED_UP {
            rows.pop_last();
        }
    }

    fn wanted(self) -> Vec<Wanted> {
        let of = |(lang, rows): (Lang, BTreeSet<(u64, Place, u128)>)| {
            rows.into_iter().map(move |(_, place, content)| Wanted { place, lang, content, cell: 0 })
        };
        self.0.into_iter().flat_map(of).collect()
    }
}

/// Sends rows through the stages, as far as the journal answers.
fn looked_up(job: &Job, roles: &Roles, peek: &Peek, few: Few) -> Result<BTreeMap<Lang, Sampled>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|cause| Error::unavailable("threads not started").because(cause))?;
    let mut found: BTreeMap<Lang, Sampled> = BTreeMap::new();
    for bundle in Bundles::new(Arc::clone(&job.rereading), few.wanted()) {
        for mut exchange in bundle?.rows.into_iter().filter(|row| row.outcome.is_none()) {
            let sum = found.entry(exchange.lang).or_default();
            sum.rows += 1;
            sum.english_tokens += english_tokens(&exchange);
            let mut missing = false;
            for (role, clerk) in chain(roles) {
                if exchange.outcome.is_some() && !missing {
                    break;
                }
                if !missing {
                    runtime.block_on(serving(exchange.lang, clerk.treat(&mut exchange)))?;
                    missing = exchange.outcome.is_some_and(|verdict| verdict.reason.is_unanswered());
                }
                let (came, open) = sum.met.entry(role).or_default();
                *came += 1;
                *open += u64::from(missing);
            }
        }
    }
    for ((role, lang), missed) in peek.take() {
        if let Some(sum) = found.get_mut(&lang) {
            sum.missed.insert(role, missed);
        }
    }
    Ok(found)
}

/// Tokens that the English of a response has, about.
fn english_tokens(exchange: &Exchange) -> u64 {
    ceiling(in_english(&exchange.response, exchange.lang) / CHARACTERS_PER_TOKEN)
}
