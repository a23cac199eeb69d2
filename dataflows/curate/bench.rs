//! What each stage before the models costs, measured on the shards of a person: no model is asked, nothing is written.
//!
//! ```text
//! read      read ─► fragment      read ─► fragment ─► identify      ...      read ─► ... ─► sign ─► dedup
//! ```
//!
//! **Why one dataflow per stage**: in one dataflow, stages share cores and caches and no clock can tell them apart. So each
//! stage is measured at the end of a chain of all before it, and its own cost is the difference of two chains. The last
//! chain is the whole front.

use super::job;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::llm::models::Cache;
use crate::model::{Drafts, Epoch, Note, Rows, Ruling, Stage, Weight};
use crate::sink::manifest::entries;
use crate::source::Credits;
use crate::source::list::{self, Shard};
use crate::source::open::Files;
use crate::source::shard::{Survey, survey};
use crate::source::tasks::{Reading, TaskQueue};
use crate::stage::dedup::{DedupState, MemoryDedup};
use crate::stage::identify::Identifier;
use crate::stage::segment::Segmenter;
use crate::stage::settle::Updates;
use crate::stage::{identify, quality, read, segment, sign};
use crate::stop::Stop;
use crate::telemetry::Stopwatch;
use crate::telemetry::cpu::cpu_seconds;
use crate::telemetry::memory::{forget_peak, peak_bytes};
use crate::workers;
use differential_dataflow::AsCollection;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
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
    keys: Arc<[String]>,
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
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        Ok(Self { settings, shards, surveys, keys, identifier })
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
        let reading = Arc::new(job::reading(&self.settings, Arc::clone(&self.shards), tasks));
        forget_peak();
        let (watch, cpu) = (Stopwatch::start(), cpu_seconds());
        let (bench, flag) = (Arc::clone(self), stop.clone());
        let shares = workers::run(self.settings.workers, stop, move |worker| {
            Ok(bench.build(worker, step, &reading, &flag))
        })?;
        let cpu = cpu.zip(cpu_seconds()).map(|(before, after)| after - before);
        let time = Time { seconds: watch.seconds(), cpu, peak: peak_bytes() };
        let mut seen = Seen::default();
        shares.iter().for_each(|share| seen.merge(share));
        Ok((seen, time))
    }

    /// Builds the chain that ends with `step` on one worker.
    fn build(
        &self,
        worker: &mut Worker,
        step: Step,
        reading: &Arc<Reading>,
        stop: &Stop,
    ) -> impl FnOnce() -> Result<Seen> + use<> {
        let settings = &self.settings;
        let credits = Credits::new(settings.source.in_flight_rows, settings.source.in_flight_bytes);
        let end = End { seen: Rc::default(), credits: Rc::clone(&credits) };
        let seen = Rc::clone(&end.seen);
        worker.dataflow::<Epoch, _, _>(|scope| {
            let (rows, unread) = read::read(scope, reading, &credits, stop);
            let rows = end.rows(rows);
            end.notes(unread);
            if step == Step::Read {
                return end.of(rows, |rows| (rows.rows.len(), rows.weight));
            }
            let count = |drafts: &Drafts| (drafts.drafts.len(), drafts.weight);
            let (drafts, uncut) = segment::segment(rows, Segmenter::new(&settings.segment));
            end.notes(uncut);
            if step == Step::Fragment {
                return end.of(drafts, count);
            }
            let (drafts, foreign) =
                identify::identify(drafts, Arc::clone(&self.identifier), &settings.identify);
            end.notes(foreign);
            if step == Step::Identify {
                return end.of(drafts, count);
            }
            let (drafts, poor) = quality::quality(drafts, &settings.quality);
            end.notes(poor);
            if step == Step::Quality {
                return end.of(drafts, count);
            }
            let keys = Arc::clone(&self.keys);
            let signed = sign::sign(drafts, &settings.sign, keys, Rc::clone(&credits), settings.seed);
            if step == Step::Sign {
                return end.updates(signed);
            }
            let verdicts = MemoryDedup::new(settings.dedup.clone()).judge(signed.as_collection());
            end.dropped(verdicts.dropped.inner);
            end.updates(verdicts.kept.inner);
        });
        move || Ok(seen.take())
    }
}

/// What came out of a chain.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    rows: i64,
    text_bytes: u64,
    out: i64,
    ends: BTreeMap<(Stage, Ruling), i64>,
}

impl Seen {
    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.text_bytes += other.text_bytes;
        self.out += other.out;
        other.ends.iter().for_each(|(end, count)| *self.ends.entry(*end).or_default() += count);
    }

    fn end(&mut self, note: &Note, diff: isize) {
        *self.ends.entry((note.verdict.stage, note.verdict.ruling)).or_default() += diff as i64;
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
struct End {
    seen: Rc<RefCell<Seen>>,
    credits: Rc<Credits>,
}

impl End {
    fn rows<'s>(&self, rows: Stream<'s, Epoch, Rows>) -> Stream<'s, Epoch, Rows> {
        let seen = Rc::clone(&self.seen);
        rows.inspect_core(move |event| {
            let Ok((_, rows)) = event else { return };
            let mut seen = seen.borrow_mut();
            seen.rows += count_of(rows.rows.len());
            seen.text_bytes += rows.rows.iter().map(|row| row.text.len() as u64).sum::<u64>();
        })
    }

    fn notes(&self, notes: Stream<'_, Epoch, Vec<Note>>) {
        let seen = Rc::clone(&self.seen);
        notes.inspect(move |note| seen.borrow_mut().end(note, 1));
    }

    fn dropped(&self, notes: Stream<'_, Epoch, Updates<Note>>) {
        let seen = Rc::clone(&self.seen);
        notes.inspect(move |(note, _, diff)| seen.borrow_mut().end(note, *diff));
    }

    fn updates<R: Clone + 'static>(&self, rows: Stream<'_, Epoch, Updates<R>>) {
        let seen = Rc::clone(&self.seen);
        rows.inspect(move |(_, _, diff)| seen.borrow_mut().out += *diff as i64);
    }

    fn of<C: timely::Container + Clone + 'static>(
        &self,
        stream: Stream<'_, Epoch, C>,
        count: impl Fn(&C) -> (usize, Weight) + 'static,
    ) {
        let (seen, credits) = (Rc::clone(&self.seen), Rc::clone(&self.credits));
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
    let unread = seen.ends.iter().filter(|((stage, _), _)| *stage == Stage::Read).map(|(_, count)| count);
    let documents = seen.rows + unread.sum::<i64>();
    let per_second = |what: f64| what / seconds(middle).max(1e-9);
    Measured {
        stage: step,
        documents,
        text_bytes: seen.text_bytes,
        entered: before.map_or(documents, |before| before.kept),
        kept: seen.out,
        dropped: seen.ended(step, Ruling::Dropped),
        faulted: seen.ended(step, Ruling::Faulted),
        seconds: seconds(middle),
        seconds_least: seconds(0),
        seconds_most: seconds(times.len().saturating_sub(1)),
        mb_per_second: per_second(seen.text_bytes as f64 / 1e6),
        documents_per_second: per_second(documents as f64),
        cpu_seconds: cpu,
        own_cpu_seconds: before.map_or(cpu, |before| Some(cpu? - before.cpu_seconds?)),
        peak_memory_bytes: peak,
    }
}
