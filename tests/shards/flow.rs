//! Runs the two readers in a dataflow whose last operator is slow to give credits back.

use isogloss::model::{Bundle, Epoch, Lang, Note, Place, Row, Rows, Span, Weight, content_of};
use isogloss::source::list::Shard;
use isogloss::source::shard::{Survey, survey};
use isogloss::source::tasks::{ReadProgress, Reading, TaskQueue};
use isogloss::source::{Credits, Open, SourceSettings};
use isogloss::stage::read::read;
use isogloss::stage::reread::{Rereading, Route, Segmenter, Wanted, reread};
use isogloss::stop::Stop;
use isogloss::{Result, workers};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use timely::Container;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::{Scope, Stream};

/// All that one run read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Sorted by shard and row.
    pub(crate) rows: Vec<(u32, Row)>,
    /// Sorted.
    pub(crate) notes: Vec<Note>,
    /// The most bytes that one worker had in flight.
    pub(crate) peak: u64,
    /// The most bytes and rows of one batch.
    pub(crate) batch: Weight,
    /// Rows, faults and row groups counted.
    pub(crate) counted: (u64, u64, u64),
}

impl Read {
    /// Shard, row and text.
    pub(crate) fn texts(&self) -> Vec<(u32, u32, &str)> {
        self.rows.iter().map(|(shard, row)| (*shard, row.row, row.text.as_str())).collect()
    }
}

/// Reads every row of the shards.
pub(crate) fn read_all(
    open: impl Open + 'static,
    shards: Vec<Shard>,
    settings: &SourceSettings,
    workers: usize,
) -> Result<Read> {
    let surveys: Vec<Survey> = survey(&shards, &open, &settings.columns)?;
    let progress = Arc::new(ReadProgress::default());
    let reading = Arc::new(Reading {
        shards: shards.into(),
        open: Arc::new(open),
        settings: settings.clone(),
        tasks: Arc::new(TaskQueue::all(&surveys)),
        epoch_per_task: false,
        progress: Arc::clone(&progress),
    });
    let stop = Stop::default();
    let flag = stop.clone();
    let limits = settings.clone();
    let parts = workers::run(workers, &stop, move |worker| {
        let credits = Credits::new(limits.in_flight_rows, limits.in_flight_bytes);
        let (rows, notes) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        worker.dataflow(|scope| {
            let (read_rows, read_notes) = read(scope, &reading, &credits, &flag);
            slow(read_rows, &credits, &rows, |rows: &Rows| rows.weight);
            slow(read_notes, &credits, &notes, |_: &Vec<Note>| Weight::default());
        });
        Ok(move || Ok((rows.take(), notes.take(), credits.peak_bytes())))
    })?;
    let mut all = Read::default();
    for (rows, notes, peak) in parts {
        for batch in rows {
            assert!(!batch.rows.is_empty() && batch.rows.is_sorted_by_key(|row| row.row));
            assert_eq!(batch.weight.rows as usize, batch.rows.len());
            assert_eq!(batch.weight.bytes, batch.rows.iter().map(|row| row.text.len() as u64).sum::<u64>());
            all.batch.rows = all.batch.rows.max(batch.weight.rows);
            all.batch.bytes = all.batch.bytes.max(batch.weight.bytes);
            all.rows.extend(batch.rows.into_iter().map(|row| (batch.shard, row)));
        }
        all.notes.extend(notes.into_iter().flatten());
        all.peak = all.peak.max(peak);
    }
    all.rows.sort_by_key(|(shard, row)| (*shard, row.row));
    all.notes.sort();
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    all.counted = (of(&progress.rows), of(&progress.faults), of(&progress.tasks));
    // Rows are conserved, and each stands in one place.
    let mut places: Vec<Place> = all.rows.iter().map(|(shard, row)| Place::of_row(*shard, row.row)).collect();
    places.extend(all.notes.iter().map(|note| note.place));
    places.sort_unstable();
    let footer = surveys
        .iter()
        .zip(0..)
        .flat_map(|(survey, shard)| (0..survey.rows).map(move |row| Place::of_row(shard, row)));
    assert!(places.into_iter().eq(footer), "a row is lost or read twice");
    Ok(all)
}

/// A segmenter for tests: every line of a row is a fragment, of two spans if it has a tab.
pub(crate) fn lines(row: &Row, shard: u32) -> Vec<(Place, Vec<Span>)> {
    let mut at = 0;
    let mut cuts = Vec::new();
    for line in row.text.split_inclusive('\n') {
        let start = u32::try_from(at).unwrap();
        let end = start + u32::try_from(line.trim_end_matches('\n').len()).unwrap();
        let tab = line.find('\t').map(|tab| start + u32::try_from(tab).unwrap());
        let spans = match tab {
            Some(tab) => vec![Span { start, end: tab }, Span { start: tab + 1, end }],
            None => vec![Span { start, end }],
        };
        cuts.push((Place { shard, row: row.row, start }, spans));
        at += line.len();
    }
    cuts
}

/// What there is to want in rows: each line, with its text less the tab.
pub(crate) fn wants(rows: &[(u32, Row)], lang: Lang) -> Vec<(Wanted, String)> {
    let mut wants = Vec::new();
    for (shard, row) in rows {
        let mut start = 0;
        for line in row.text.split('\n').filter(|line| !line.is_empty()) {
            let at = row.text[start..].find(line).unwrap() + start;
            let text = line.replacen('\t', "", 1);
            let place = Place { shard: *shard, row: row.row, start: u32::try_from(at).unwrap() };
            let content = content_of(&text, &mut String::new());
            wants.push((Wanted { place, lang, content, cell: row.row % 7 }, text));
            start = at + line.len();
        }
    }
    wants
}

/// The bundles of one run, per worker and in order, with the epoch each came at, and the peak of credits.
pub(crate) type Reread = Vec<(Vec<(Epoch, Bundle)>, u64)>;

/// Reads the wanted fragments again; each at the epoch given with it.
pub(crate) fn reread_all(
    open: impl Open + 'static,
    shards: Vec<Shard>,
    wanted: Vec<(Epoch, Wanted)>,
    route: Route,
    limits: (usize, u64),
    workers: usize,
) -> Result<Reread> {
    let segmenter: Segmenter = Arc::new(lines);
    let settings = SourceSettings::default();
    let rereading = Arc::new(Rereading {
        shards: shards.into(),
        open: Arc::new(open),
        settings,
        segmenter,
        bundle_rows: limits.0,
        bundle_bytes: limits.1,
        readers: workers,
    });
    let stop = Stop::default();
    let flag = stop.clone();
    workers::run(workers, &stop, move |worker| {
        let credits = Credits::new(2 * u32::try_from(limits.0).unwrap(), 2 * limits.1);
        let bundles = Rc::new(RefCell::new(Vec::new()));
        // Every worker wants its share, so that the exchange has work.
        let (index, peers) = (worker.index(), worker.peers());
        let mine = wanted
            .iter()
            .enumerate()
            .filter(|(at, _)| at % peers == index)
            .map(|(_, wanted)| *wanted)
            .collect();
        worker.dataflow(|scope| {
            let wanted = at_epochs(scope, mine);
            let stream = reread(wanted, route, &rereading, &credits, &flag);
            let (bundles, credits) = (Rc::clone(&bundles), Rc::clone(&credits));
            stream.sink_at(move |epoch, bundle: Bundle| {
                credits.give(bundle.weight);
                bundles.borrow_mut().push((epoch, bundle));
            });
        });
        Ok(move || Ok((bundles.take(), credits.peak_bytes())))
    })
}

trait SinkAt<C> {
    fn sink_at(self, logic: impl FnMut(Epoch, C) + 'static);
}

impl<C: Container> SinkAt<C> for Stream<'_, Epoch, C> {
    fn sink_at(self, mut logic: impl FnMut(Epoch, C) + 'static) {
        self.sink(Pipeline, "sink", move |(input, _)| {
            input.for_each(|cap, data| logic(*cap.least().unwrap(), std::mem::take(data)));
        });
    }
}

/// Keeps what arrives, and gives no credit back until there is none left, then all, the newest first.
fn slow<C: Container>(
    stream: Stream<'_, Epoch, C>,
    credits: &Rc<Credits>,
    kept: &Rc<RefCell<Vec<C>>>,
    weight: impl Fn(&C) -> Weight + 'static,
) {
    let (credits, kept) = (Rc::clone(credits), Rc::clone(kept));
    let mut builder = OperatorBuilder::new("slow".into(), stream.scope());
    let mut input = builder.new_input(stream, Pipeline);
    builder.build(move |_caps| {
        let mut held: Vec<Weight> = Vec::new();
        move |_| {
            input.for_each(|_, data| {
                held.push(weight(data));
                kept.borrow_mut().push(std::mem::take(data));
            });
            if !credits.open() {
                held.drain(..).rev().for_each(|weight| credits.give(weight));
            }
        }
    });
}

/// A source that gives each item at its epoch, last epoch first released.
fn at_epochs(scope: Scope<'_, Epoch>, items: Vec<(Epoch, Wanted)>) -> Stream<'_, Epoch, Vec<Wanted>> {
    let mut by_epoch: BTreeMap<Epoch, Vec<Wanted>> = BTreeMap::new();
    for (epoch, wanted) in items {
        by_epoch.entry(epoch).or_default().push(wanted);
    }
    let mut builder = OperatorBuilder::new("epochs".into(), scope);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Wanted>>>::from(output);
    let again = scope.activator_for(builder.operator_info().address);
    builder.build(move |mut caps| {
        let mut left: VecDeque<(Epoch, Vec<Wanted>)> = by_epoch.into_iter().collect();
        move |_| match left.pop_front() {
            Some((epoch, mut wanted)) => {
                caps[0].downgrade(&epoch);
                output.activate().session(&caps[0]).give_container(&mut wanted);
                again.activate();
            }
            None => caps.clear(),
        }
    });
    stream
}
