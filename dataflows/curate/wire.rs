//! The whole dataflow of one worker.

use super::front::Front;
use super::job::Job;
use super::models::{credits, english, rewrite};
use crate::error::{Error, Result};
use crate::model::{Bundle, Epoch, Lang, Note, Stage};
use crate::sink::audit::{AuditContext, Audited, Before, audit};
use crate::sink::manifest::Part;
use crate::source::Credits;
use crate::stage::dedup::{DedupState, MemoryDedup};
use crate::stage::pieces::ReadCounts;
use crate::stage::reread::{Route, Wanted, reread};
use crate::stage::reuse::{Reused, reuse};
use crate::stage::settle::{Updates, settle};
use crate::stage::sign::{SignSettings, Signer};
use crate::stage::{sample, select};
use crate::stop::Stop;
use crate::telemetry::Tally;
use differential_dataflow::AsCollection;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::Stream;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, Inspect};
use timely::worker::Worker;
use tokio::runtime::Handle;

/// What one worker has when the dataflow is complete.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Parts written or taken over.
    pub(super) parts: Vec<Part>,
    /// Counts and audit files.
    pub(super) audited: Vec<Audited>,
    /// What the stages say they were handed.
    pub(super) handed: BTreeMap<(Stage, Lang), i64>,
    /// The most bytes of text between reader and signature, and in each pass of the models.
    pub(super) peaks: [u64; 3],
}

impl Share {
    /// A stage was handed `count` rows.
    pub(super) fn hand(&mut self, stage: Stage, lang: Lang, count: i64) {
        *self.handed.entry((stage, lang)).or_default() += count;
    }
}

/// Builds the dataflow on one worker; the closure gives its share once the dataflow is complete.
pub(super) fn build(
    worker: &mut Worker,
    job: &Arc<Job>,
    runtime: &Handle,
    stop: &Stop,
) -> impl FnOnce() -> Result<Share> + use<> {
    let share = Rc::new(RefCell::new(Share::default()));
    let collect = Rc::clone(&share);
    let passes = [credits(job), credits(job)];
    let [first, second] = passes.clone();
    let (job, runtime, stop) = (Arc::clone(job), runtime.clone(), stop.clone());
    let read = ReadCounts::default();
    let counts = Rc::clone(&read);
    let front_credits = worker.dataflow::<Epoch, _, _>(move |scope| {
        let ctx = job.front(Arc::clone(&job.reading));
        let mut front = Front::new(scope, &ctx, &counts);
        let (signed, credits) = (front.whole(&stop), front.credits());
        let notes = front.notes();
        let signed = counted(signed, Stage::Dedup, &collect, |row| row.row.lang);
        let dedup = MemoryDedup::new(job.settings.dedup.clone()).judge(signed.as_collection());
        let sampled = sample::sample(dedup.kept, &job.settings.sample);
        let admitted = sampled.kept.inner.flat_map(|(row, _, diff)| {
            let wanted = Wanted { place: row.place, lang: row.lang, content: row.content, cell: 0 };
            (diff > 0).then_some(wanted)
        });
        let bundles = reread(admitted, Route::Block, &job.rereading, &first, &stop);
        let bundles = counted_rows(bundles, Stage::Translate, &collect);
        let scored = english(bundles, &job.roles, &runtime, &stop, Some(&job.progress));
        let settled = settle(scored, Signer::new(&SignSettings::instructions()), job.settings.seed, first);
        let failed =
            settled.clone().flat_map(|(settled, epoch, diff)| settled.note().map(|note| (note, epoch, diff)));
        let scored =
            settled.flat_map(|(settled, epoch, diff)| settled.scored().map(|scored| (scored, epoch, diff)));
        let chosen = select::select(scored.as_collection(), &job.settings.select);
        let chosen_rows = counted(chosen.kept.inner, Stage::Localize, &collect, |row| row.row.lang);
        let Reused { wanted, parts: standing, notes: stood } =
            reuse(chosen_rows, Arc::clone(&job.parts), job.known.clone(), stop.clone());
        let (parts, ended) = rewrite(wanted, &job, &job.rereading, &job.parts, second, &runtime, &stop);

        let kept = Rc::clone(&collect);
        parts.concat(standing).inspect(move |part| kept.borrow_mut().parts.push(part.clone()));
        let notes = scope.concatenate([notes, ended, stood]).map(|note: Note| (note, 0, 1));
        let differential = [dedup.dropped.inner, sampled.dropped.inner, chosen.dropped.inner];
        let notes = scope.concatenate([notes, failed].into_iter().chain(differential));
        let ctx = AuditContext {
            shards: job.entries.iter().map(|entry| entry.key.clone()).collect(),
            mode: job.settings.audit,
            fingerprint: job.parts.fingerprint,
            store: job.output.store(),
            before: Before::default(),
        };
        audit(notes, Arc::new(ctx), stop)
            .inspect(move |audited| collect.borrow_mut().audited.push(audited.clone()));
        credits
    });
    move || {
        for (lang, count) in read.borrow().values().flatten() {
            share.borrow_mut().hand(Stage::Read, *lang, *count);
        }
        finished(share, front_credits.peak_bytes(), &passes)
    }
}

/// The share of a worker whose dataflow is complete.
pub(super) fn finished(share: Rc<RefCell<Share>>, front: u64, passes: &[Rc<Credits>; 2]) -> Result<Share> {
    let share = Rc::try_unwrap(share).map_err(|_| Error::bug("the dataflow outlives its worker"))?;
    let mut share = share.into_inner();
    let [first, second] = passes;
    share.peaks = [front, first.peak_bytes(), second.peak_bytes()];
    Ok(share)
}

/// Counts what a stage is handed.
pub(super) fn counted<'s, R: Clone + 'static>(
    rows: Stream<'s, Epoch, Updates<R>>,
    stage: Stage,
    share: &Rc<RefCell<Share>>,
    lang_of: impl Fn(&R) -> Lang + 'static,
) -> Stream<'s, Epoch, Updates<R>> {
    let share = Rc::clone(share);
    rows.inspect_core(move |event| {
        let Ok((_, updates)) = event else { return };
        let mut share = share.borrow_mut();
        updates.iter().for_each(|(row, _, diff)| share.hand(stage, lang_of(row), *diff as i64));
    })
}

/// Counts the rows of bundles that a stage is handed.
fn counted_rows<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    stage: Stage,
    share: &Rc<RefCell<Share>>,
) -> Stream<'s, Epoch, Bundle> {
    let share = Rc::clone(share);
    bundles.inspect_core(move |event| {
        let Ok((_, bundle)) = event else { return };
        let mut share = share.borrow_mut();
        bundle.rows.iter().for_each(|row| share.hand(stage, row.lang, 1));
    })
}

/// One tally of all workers, with what the stages were handed.
pub(super) fn tally_of(shares: &[Share]) -> Tally {
    let mut tally = Tally::default();
    for share in shares {
        for audited in &share.audited {
            tally.merge(&audited.tally);
        }
        for ((stage, lang), count) in &share.handed {
            tally.hand(*stage, *lang, *count);
        }
    }
    tally
}
