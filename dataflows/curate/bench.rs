//! What each stage before the models costs, measured on the shards of a person: no model is asked, nothing is kept.
//!
//! ```text
//! read      read ─► fragment      read ─► fragment ─► identify      ...      read ─► ... ─► sign ─► dedup
//! ```
//!
//! **Why one dataflow per stage**: in one dataflow, stages share cores and caches and no clock can tell them apart. So each
//! stage is measured at the end of a chain of all before it, and its own cost is the difference of two chains. The last
//! chain is the whole front, with its dedup where the settings have it: on disk, as a first load that is committed, in a
//! folder that goes again; or in memory.

use super::front::{Front, FrontContext, read_pieces};
use super::job;
use crate::config::{Mode, Settings};
use crate::error::{Error, Result};
use crate::llm::models::Cache;
use crate::model::{Epoch, Note, Ruling, Stage, Weight};
use crate::sink::manifest::{ShardEntry, entries};
use crate::source::Credits;
use crate::source::list::{self, Shard};
use crate::source::open::Files;
use crate::source::shard::{Survey, survey};
use crate::source::tasks::{ReadProgress, Reading, TaskQueue};
use crate::stage::dedup::{DedupState, MemoryDedup};
use crate::stage::differing;
use crate::stage::durable::DurableStages;
use crate::stage::identify::Identifier;
use crate::stage::pieces::{PieceContext, ReadCounts};
use crate::stage::settle::Updates;
use crate::stage::verdicts::Verdicts;
use crate::state::codec::Shape;
use crate::state::manifest::StateManifest;
use crate::state::shards::{self, Differing};
use crate::state::store::{Store, Team};
use crate::state::tables::Tables;
use crate::stop::Stop;
use crate::telemetry::cpu::cpu_seconds;
use crate::telemetry::memory::{forget_peak, peak_bytes};
use crate::telemetry::{Progress, Stopwatch};
use crate::workers;
use differential_dataflow::AsCollection;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use timely::dataflow::Stream;
use timely::dataflow::operators::Inspect;
use timely::worker::Worker;

/// The stages that are measured, in the order of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Shards are decoded.
    Read,
    /// Rows are cut into fragments.
    Fragment,
    /// The lang of each fragment.
    Identify,
    /// Heuristics.
    Quality,
    /// Signatures.
    Sign,
    /// Exact and near duplicates; with all before it, the whole front.
    Dedup,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Fragment, Self::Identify, Self::Quality, Self::Sign, Self::Dedup];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        self.stage().map_or("sign", Stage::name)
    }

    /// The stage whose verdicts it gives; signing gives none.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Read => Some(Stage::Read),
            Self::Fragment => Some(Stage::Fragment),
            Self::Identify => Some(Stage::Identify),
            Self::Quality => Some(Stage::Quality),
            Self::Sign => None,
            Self::Dedup => Some(Stage::Dedup),
        }
    }
}

/// A chain that ends with a stage. Seconds are those of the chain, medians of its repeats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The last stage of the chain.
    pub stage: Step,
    /// Rows of the shards, readable or not.
    pub documents: i64,
    /// Bytes of text that were read.
    pub text_bytes: u64,
    /// What came to the stage: rows until `fragment`, fragments from `identify` on.
    pub entered: i64,
    /// What it gave: rows of `read`, otherwise fragments.
    pub kept: i64,
    /// What it left out.
    pub dropped: i64,
    /// What it could not judge.
    pub faulted: i64,
    /// Seconds of the clock.
    pub seconds: f64,
    /// Of the fastest repeat.
    pub seconds_least: f64,
    /// Of the slowest.
    pub seconds_most: f64,
    /// Megabytes (10⁶ bytes) of text per second.
    pub mb_per_second: f64,
    /// Documents per second.
    pub documents_per_second: f64,
    /// Seconds of CPU over all threads; `None` where the kernel does not say.
    pub cpu_seconds: Option<f64>,
    /// Of these, what the chain without the stage did not take; noise may make it negative.
    pub own_cpu_seconds: Option<f64>,
    /// Most resident bytes of the process over the repeats, with what the allocator kept from chains before.
    pub peak_memory_bytes: Option<u64>,
}

/// Everything that is measured, opened and checked.
pub struct Bench {
    settings: Settings,
    shards: Arc<[Shard]>,
    surveys: Vec<Survey>,
    entries: Vec<ShardEntry>,
    identifier: Arc<dyn Identifier>,
}

impl Bench {
    /// Opens the shards and, unless it is given, the language model. Neither output nor state of the settings is looked at.
    ///
    /// # Errors
    /// Settings out of range, inputs that are away or malformed, a language model that is missing.
    pub fn open(settings: Settings, identifier: Option<Arc<dyn Identifier>>) -> Result<Self> {
        settings.check()?;
        let shards: Arc<[Shard]> = list::list(&settings.input)?.into();
        let surveys = survey(&shards, &Files, &settings.source.columns)?;
        let identifier = job::identifier(identifier, &Cache::at(settings.model_cache.clone())?)?;
        let entries = entries(&shards, &surveys, &[])?;
        Ok(Self { settings, shards, surveys, entries, identifier })
    }

    /// The settings that are measured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Measures every chain `repeat` times, and hands each to `tell` as it is known.
    ///
    /// # Errors
    /// The reason of the stop flag; [`ErrorKind::Bug`](crate::ErrorKind::Bug) if a repeat counts otherwise than the first.
    pub fn measure(
        self: &Arc<Self>,
        repeat: usize,
        stop: &Stop,
        mut tell: impl FnMut(&Measured) -> Result<()>,
    ) -> Result<()> {
        let mut before: Option<Measured> = None;
        for step in Step::ALL {
            let mut times = Vec::new();
            let (mut seen, mut peak): (Option<Seen>, Option<u64>) = (None, None);
            for _ in 0..repeat.max(1) {
                let (now, time) = self.once(step, stop)?;
                if seen.as_ref().is_some_and(|seen| *seen != now) {
                    return Err(Error::bug(format!("repeats differ: stage={}", step.name())));
                }
                peak = peak.max(time.peak);
                times.push(time);
                seen = Some(now);
            }
            let measured = measured(step, &seen.unwrap_or_default(), times, peak, before.as_ref());
            tell(&measured)?;
            before = Some(measured);
        }
        Ok(())
    }

    fn once(self: &Arc<Self>, step: Step, stop: &Stop) -> Result<(Seen, Time)> {
        let tasks = TaskQueue::all(&self.surveys);
        let reading = job::reading(&self.settings, Arc::clone(&self.shards), tasks);
        let on_disk = step == Step::Dedup && self.settings.state.mode == Mode::Durable;
        let folder = on_disk.then(tempfile::tempdir).transpose();
        let folder = folder.map_err(|cause| Error::unavailable(NO_FOLDER).because(cause))?;
        forget_peak();
        let (watch, cpu) = (Stopwatch::start(), cpu_seconds());
        let seen = if let Some(folder) = &folder {
            self.on_disk(folder.path(), &reading, stop)?
        } else {
            let (read, flag) = (Arc::clone(&reading.progress), stop.clone());
            let ctx = self.front(Arc::new(reading));
            let shares = workers::run(self.settings.workers, stop, move |worker| {
                Ok(build(worker, &ctx, step, &flag))
            })?;
            Seen::of(&shares, &read)
        };
        let cpu = cpu.zip(cpu_seconds()).map(|(before, after)| after - before);
        let time = Time { seconds: watch.seconds(), cpu, peak: peak_bytes() };
        Ok((seen, time))
    }

    fn front(&self, reading: Arc<Reading>) -> FrontContext {
        FrontContext {
            settings: self.settings.clone(),
            identifier: Arc::clone(&self.identifier),
            keys: self.entries.iter().map(|entry| entry.key.clone()).collect(),
            reading,
            progress: Arc::new(Progress::default()),
        }
    }

    /// The whole front as a first load of a state in `folder` has it, from the first row to the commit.
    fn on_disk(&self, folder: &Path, reading: &Reading, stop: &Stop) -> Result<Seen> {
        let store = Arc::new(Store::open(folder, None)?);
        // Nobody looks for these artefacts under another name.
        let members = shards::members(&[], &self.entries, 0)
            .ok_or_else(|| Error::bug("no room for the labels of shards"))?;
        let (missing, unsealed) = shards::missing(&store.artefacts(), &members, &self.surveys);
        let shape = Shape::of(&self.settings.sign);
        store.start_merging()?;
        let folders = shards::folders(&store.artefacts(), &members, self.entries.len());
        let reading = Arc::new(reading.of(Arc::new(TaskQueue::new(missing.iter().copied()))));
        read_pieces(self.front(Arc::clone(&reading)), PieceContext { tasks: missing, folders, shape }, stop)?;
        shards::seal(&store, &members, &unsealed, &self.surveys, shape)?;
        let differing: Arc<[Differing]> = shards::differing(&store.artefacts(), &members)?.into();
        let tables = Tables {
            store: Arc::clone(&store),
            codec: shards::codec(&members),
            sort_bytes: usize::try_from(self.settings.state.sort_bytes).unwrap_or(usize::MAX),
            team: Team::alone(self.settings.workers),
        };
        let stages = DurableStages::new(tables, &self.settings.sign, stop);
        let shares = {
            let (stages, settings, flag) = (stages.clone(), self.settings.dedup.clone(), stop.clone());
            workers::run(self.settings.workers, stop, move |worker| {
                let end = End::default();
                let seen = Rc::clone(&end.seen);
                worker.dataflow::<Epoch, _, _>(|scope| {
                    let signed = differing::signed(scope, Arc::clone(&differing), shape, &flag);
                    end.verdicts(stages.dedup(signed, &settings));
                    end.updates(differing::notes(scope, Arc::clone(&differing), &flag).inner, Seen::end);
                });
                Ok(move || Ok(seen.take()))
            })?
        };
        stages.checked()?;
        let next = StateManifest { shards: shards::of_state(&members), ..StateManifest::default() };
        store.commit(1, next)?;
        Ok(Seen::of(&shares, &reading.progress))
    }
}

const NO_FOLDER: &str =
    "no folder for the state of a measurement: remedy=name one that can be written in TMPDIR";

/// Builds the chain that ends with `step`, in memory, on one worker.
fn build(
    worker: &mut Worker,
    ctx: &FrontContext,
    step: Step,
    stop: &Stop,
) -> impl FnOnce() -> Result<Seen> + use<> {
    let end = End::default();
    let seen = Rc::clone(&end.seen);
    worker.dataflow::<Epoch, _, _>(|scope| {
        let mut front = Front::new(scope, ctx, &ReadCounts::default());
        ended(&mut front, &end, step, stop);
        front.notes().inspect(move |note| end.seen.borrow_mut().end(note, 1));
    });
    move || Ok(seen.take())
}

/// Wires the stages up to `step`.
fn ended(front: &mut Front<'_, '_>, end: &End, step: Step, stop: &Stop) {
    let credits = front.credits();
    let rows = front.rows(stop);
    if step == Step::Read {
        return end.of(rows, credits, |rows| (rows.rows.len(), rows.weight));
    }
    let mut drafts = front.cut(rows);
    if step > Step::Fragment {
        drafts = front.identified(drafts);
    }
    if step > Step::Identify {
        drafts = front.judged(drafts);
    }
    if step <= Step::Quality {
        return end.of(drafts, credits, |drafts| (drafts.drafts.len(), drafts.weight));
    }
    let signed = front.signed(drafts);
    if step == Step::Sign {
        return end.updates(signed, |seen, _, diff| seen.out += diff);
    }
    let settings = front.settings().dedup.clone();
    end.verdicts(MemoryDedup::new(settings).judge(signed.as_collection()));
}

/// What came out of a chain.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    documents: i64,
    text_bytes: u64,
    out: i64,
    ends: BTreeMap<(Stage, Ruling), i64>,
}

impl Seen {
    /// What the chains of all workers gave, and what was read for them.
    fn of(shares: &[Self], read: &ReadProgress) -> Self {
        let mut seen = Self {
            documents: read.rows.load(Ordering::Relaxed).cast_signed(),
            text_bytes: read.bytes.load(Ordering::Relaxed),
            ..Self::default()
        };
        for share in shares {
            seen.out += share.out;
            share.ends.iter().for_each(|(end, count)| *seen.ends.entry(*end).or_default() += count);
        }
        seen
    }

    fn end(&mut self, note: &Note, diff: i64) {
        *self.ends.entry((note.verdict.stage, note.verdict.ruling)).or_default() += diff;
    }

    fn ended(&self, step: Step, ruling: Ruling) -> i64 {
        step.stage().and_then(|stage| self.ends.get(&(stage, ruling))).copied().unwrap_or(0)
    }
}

struct Time {
    seconds: f64,
    cpu: Option<f64>,
    peak: Option<u64>,
}

/// Counts what a chain gives, and gives its credits back.
#[derive(Default)]
struct End {
    seen: Rc<RefCell<Seen>>,
}

impl End {
    fn verdicts(&self, verdicts: Verdicts<'_>) {
        self.updates(verdicts.dropped.inner, Seen::end);
        self.updates(verdicts.kept.inner, |seen, _, diff| seen.out += diff);
    }

    fn updates<R: Clone + 'static>(
        &self,
        rows: Stream<'_, Epoch, Updates<R>>,
        count: impl Fn(&mut Seen, &R, i64) + 'static,
    ) {
        let seen = Rc::clone(&self.seen);
        rows.inspect(move |(row, _, diff)| count(&mut seen.borrow_mut(), row, *diff as i64));
    }

    fn of<C: timely::Container + Clone + 'static>(
        &self,
        stream: Stream<'_, Epoch, C>,
        credits: Rc<Credits>,
        count: impl Fn(&C) -> (usize, Weight) + 'static,
    ) {
        let seen = Rc::clone(&self.seen);
        stream.inspect_core(move |event| {
            let Ok((_, container)) = event else { return };
            let (rows, weight) = count(container);
            seen.borrow_mut().out += count_of(rows);
            credits.give(weight);
        });
    }
}

fn count_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn measured(
    step: Step,
    seen: &Seen,
    mut times: Vec<Time>,
    peak: Option<u64>,
    before: Option<&Measured>,
) -> Measured {
    times.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let seconds = |at: usize| times.get(at).map_or(0.0, |time| time.seconds);
    let middle = times.len() / 2;
    let cpu = times.get(middle).and_then(|time| time.cpu);
    let per_second = |what: f64| what / seconds(middle).max(1e-9);
    Measured {
        stage: step,
        documents: seen.documents,
        text_bytes: seen.text_bytes,
        entered: before.map_or(seen.documents, |before| before.kept),
        kept: seen.out,
        dropped: seen.ended(step, Ruling::Dropped),
        faulted: seen.ended(step, Ruling::Faulted),
        seconds: seconds(middle),
        seconds_least: seconds(0),
        seconds_most: seconds(times.len().saturating_sub(1)),
        mb_per_second: per_second(seen.text_bytes as f64 / 1e6),
        documents_per_second: per_second(seen.documents as f64),
        cpu_seconds: cpu,
        own_cpu_seconds: before.map_or(cpu, |before| Some(cpu? - before.cpu_seconds?)),
        peak_memory_bytes: peak,
    }
}
