//! The front of one worker: row groups to signed fragments, stage by stage. Text never leaves it.

use crate::config::Settings;
use crate::error::Result;
use crate::model::{Drafts, Epoch, Lang, Note, Rows, Signed, Stage};
use crate::source::Credits;
use crate::source::tasks::Reading;
use crate::stage::identify::Identifier;
use crate::stage::pieces::{PieceContext, ReadCounts, pieces};
use crate::stage::segment::Segmenter;
use crate::stage::settle::Updates;
use crate::stage::{identify, quality, read, segment, sign};
use crate::stop::Stop;
use crate::telemetry::Progress;
use crate::workers;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::{Concatenate, Inspect};
use timely::dataflow::{Scope, Stream};

/// What the front of every worker needs.
pub(super) struct FrontContext {
    pub(super) settings: Settings,
    pub(super) identifier: Arc<dyn Identifier>,
    /// Keys of the shards, by position.
    pub(super) keys: Arc<[String]>,
    pub(super) reading: Arc<Reading>,
    /// Told of rows that were read.
    pub(super) progress: Arc<Progress>,
}

/// The stages, to be called in their order; a chain may end after any of them.
pub(super) struct Front<'s, 'a> {
    scope: Scope<'s, Epoch>,
    ctx: &'a FrontContext,
    counts: ReadCounts,
    credits: Rc<Credits>,
    notes: Vec<Stream<'s, Epoch, Vec<Note>>>,
}

impl<'s, 'a> Front<'s, 'a> {
    /// A chain without a stage. Rows that are read are counted in `counts`.
    pub(super) fn new(scope: Scope<'s, Epoch>, ctx: &'a FrontContext, counts: &ReadCounts) -> Self {
        let source = &ctx.settings.source;
        let credits = Credits::new(source.in_flight_rows, source.in_flight_bytes);
        Self { scope, ctx, counts: Rc::clone(counts), credits, notes: Vec::new() }
    }

    /// Readable rows.
    pub(super) fn rows(&mut self, stop: &Stop) -> Stream<'s, Epoch, Rows> {
        let (rows, unread) = read::read(self.scope, &self.ctx.reading, &self.credits, stop);
        let unread = self.unread(unread);
        self.notes.push(unread);
        let (progress, counts) = (Arc::clone(&self.ctx.progress), Rc::clone(&self.counts));
        rows.inspect_core(move |event| {
            let Ok((epochs, rows)) = event else { return };
            progress.done(Stage::Read, rows.rows.len() as u64);
            count(&counts, epochs.least().copied(), rows.rows.iter().map(|row| row.lang));
        })
    }

    /// Counts the rows that could not be read.
    fn unread(&self, notes: Stream<'s, Epoch, Vec<Note>>) -> Stream<'s, Epoch, Vec<Note>> {
        let (progress, counts) = (Arc::clone(&self.ctx.progress), Rc::clone(&self.counts));
        notes.inspect_core(move |event| {
            let Ok((epochs, notes)) = event else { return };
            progress.done(Stage::Read, notes.len() as u64);
            count(&counts, epochs.least().copied(), notes.iter().map(|note| note.lang));
        })
    }

    /// Fragments of them.
    pub(super) fn cut(&mut self, rows: Stream<'s, Epoch, Rows>) -> Stream<'s, Epoch, Drafts> {
        let (drafts, uncut) = segment::segment(rows, Segmenter::new(&self.ctx.settings.segment));
        self.notes.push(uncut);
        drafts
    }

    /// Those in the lang that they should be in.
    pub(super) fn identified(&mut self, drafts: Stream<'s, Epoch, Drafts>) -> Stream<'s, Epoch, Drafts> {
        let (drafts, foreign) =
            identify::identify(drafts, Arc::clone(&self.ctx.identifier), &self.ctx.settings.identify);
        self.notes.push(foreign);
        drafts
    }

    /// Those that are good enough.
    pub(super) fn judged(&mut self, drafts: Stream<'s, Epoch, Drafts>) -> Stream<'s, Epoch, Drafts> {
        let (drafts, poor) = quality::quality(drafts, &self.ctx.settings.quality);
        self.notes.push(poor);
        drafts
    }

    /// Their ids and hashes, without text.
    pub(super) fn signed(&self, drafts: Stream<'s, Epoch, Drafts>) -> Stream<'s, Epoch, Updates<Signed>> {
        let FrontContext { settings, keys, .. } = self.ctx;
        sign::sign(drafts, &settings.sign, Arc::clone(keys), Rc::clone(&self.credits), settings.seed)
    }

    /// All stages.
    pub(super) fn whole(&mut self, stop: &Stop) -> Stream<'s, Epoch, Updates<Signed>> {
        let rows = self.rows(stop);
        let drafts = self.cut(rows);
        let drafts = self.identified(drafts);
        let drafts = self.judged(drafts);
        self.signed(drafts)
    }

    /// The settings of the chain.
    pub(super) fn settings(&self) -> &Settings {
        &self.ctx.settings
    }

    /// What bounds the text in flight.
    pub(super) fn credits(&self) -> Rc<Credits> {
        Rc::clone(&self.credits)
    }

    /// Rows and fragments that ended in the stages so far.
    pub(super) fn notes(self) -> Stream<'s, Epoch, Vec<Note>> {
        self.scope.concatenate(self.notes)
    }
}

fn count(counts: &ReadCounts, epoch: Option<Epoch>, langs: impl Iterator<Item = Lang>) {
    let mut counts = counts.borrow_mut();
    let counts = counts.entry(epoch.unwrap_or_default()).or_default();
    langs.for_each(|lang| *counts.entry(lang).or_default() += 1);
}

/// Runs the front of all workers and writes a piece for each row group; gives the most bytes of text that were in flight.
///
/// # Errors
/// The reason of the stop flag.
pub(super) fn read_pieces(ctx: FrontContext, into: PieceContext, stop: &Stop) -> Result<u64> {
    let (workers, ctx, into, flag) = (ctx.settings.workers, Arc::new(ctx), Arc::new(into), stop.clone());
    let peaks = workers::run(workers, stop, move |worker| {
        let (ctx, into, flag) = (Arc::clone(&ctx), Arc::clone(&into), flag.clone());
        let credits = worker.dataflow::<Epoch, _, _>(move |scope| {
            let counts = ReadCounts::default();
            let mut front = Front::new(scope, &ctx, &counts);
            let (signed, credits) = (front.whole(&flag), front.credits());
            pieces(signed, front.notes(), counts, into, flag);
            credits
        });
        Ok(move || Ok(credits.peak_bytes()))
    })?;
    Ok(peaks.into_iter().sum())
}
