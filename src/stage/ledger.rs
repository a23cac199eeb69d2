//! What was admitted to the models, and how each of them ended: so that a row is asked once and can be taken back.
//!
//! **Why**: a row that loses its place in a sample takes its score, its cell and its note with it, and what those were must
//! not cost a call or a reading. **State** `kept`, `admitted`: lang, tick, place, content; `scored`: place, what became of
//! it; `again`: rows that an endpoint gave up on, for another try.

use super::gather::{Gather, Give};
use super::settle::Settled;
use crate::error::{Error, Result};
use crate::model::{FragmentRow, Note, Scored, Verdict};
use crate::state::artefact::{VERDICT, put_verdict, verdict_of};
use crate::state::codec::{FRAGMENT, PLACE, Shape, scored_width};
use crate::state::damage::damaged;
use crate::state::sorter::Sorter;
use crate::state::tables::Tables;
use serde::{Deserialize, Serialize};

/// What the ledger needs to know.
#[derive(Clone)]
pub(crate) struct LedgerContext {
    pub(crate) tables: Tables,
    /// Shape of the signatures of instructions.
    pub(crate) shape: Shape,
}

impl LedgerContext {
    fn scored_key(&self) -> usize {
        PLACE + 1 + scored_width(self.shape)
    }

    fn put(&self, settled: &Settled, key: &mut Vec<u8>) -> Result<()> {
        key.clear();
        match settled {
            Settled::Scored(scored) => {
                self.tables.codec.put_place(scored.row.place, key);
                key.push(0);
                self.tables.codec.put_best_first(scored, self.shape, key)?;
            }
            Settled::Ended(row, verdict) => {
                self.tables.codec.put_place(row.place, key);
                key.push(1);
                self.tables.codec.put_by_tick(row, key);
                put_verdict(*verdict, key);
                debug_assert_eq!(key.len(), PLACE + 1 + FRAGMENT + VERDICT);
                key.resize(self.scored_key(), 0);
            }
        }
        Ok(())
    }

    /// Reads a row of `scored`.
    pub(crate) fn settled(&self, key: &[u8]) -> Result<Settled> {
        let mut rest = key.get(PLACE..).unwrap_or_default();
        let kind: [u8; 1] = crate::state::codec::take(&mut rest);
        if kind == [0] {
            return Ok(Settled::Scored(self.tables.codec.best_first(self.shape, &mut rest)));
        }
        let row = self.tables.codec.by_tick(&mut rest);
        let verdict = verdict_of(&mut rest)
            .ok_or_else(|| damaged(self.tables.store.folder(), "an end not understood"))?;
        Ok(Settled::Ended(row, verdict))
    }
}

/// Whether an endpoint gave up, so that another try is worth it.
fn is_transient(verdict: Verdict) -> bool {
    verdict.reason.is_unanswered()
}

/// Writes a table of fragments as it changes.
pub(crate) struct Keeping {
    ctx: LedgerContext,
    table: &'static str,
    sorter: Sorter,
    key: Vec<u8>,
}

impl Keeping {
    pub(crate) fn new(ctx: &LedgerContext, table: &'static str) -> Self {
        Self { ctx: ctx.clone(), table, sorter: ctx.tables.sorter(table, FRAGMENT), key: Vec::new() }
    }
}

impl Gather for Keeping {
    type In = FragmentRow;
    type Out = ();

    fn take(&mut self, row: FragmentRow, diff: isize) -> Result<()> {
        self.key.clear();
        self.ctx.tables.codec.put_by_tick(&row, &mut self.key);
        self.sorter.push(&self.key, i32::try_from(diff).unwrap_or(i32::MAX))
    }

    fn work(self, _out: &mut Give<'_, ()>) -> Result<()> {
        let Self { ctx, table, sorter, .. } = self;
        ctx.tables.store.add(table, sorter.finish()?.into_run(ctx.tables.store.path())?);
        Ok(())
    }
}

/// What [`Ask`] takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum AskIn {
    /// A row is admitted, or no longer.
    Delta(FragmentRow),
    /// A row that was admitted before and is to be asked anew.
    Again(FragmentRow),
}

/// What [`Ask`] gives: at +1 what is to be asked, at −1 what is taken back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum AskOut {
    /// A row for the models.
    Wanted(FragmentRow),
    /// A scored exchange.
    Scored(Scored),
    /// An end.
    Note(Note),
}

/// Decides what the models are asked, and takes back what became of rows that are no longer admitted.
pub(crate) struct Ask {
    ctx: LedgerContext,
    delta: Sorter,
    again: Sorter,
    key: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(ctx: &LedgerContext) -> Self {
        let (delta, again) = (ctx.tables.sorter("admitted", FRAGMENT), ctx.tables.sorter("again", FRAGMENT));
        Self { ctx: ctx.clone(), delta, again, key: Vec::new() }
    }
}

impl Gather for Ask {
    type In = AskIn;
    type Out = AskOut;

    fn take(&mut self, row: AskIn, diff: isize) -> Result<()> {
        let (row, sorter) = match &row {
            AskIn::Delta(row) => (row, &mut self.delta),
            AskIn::Again(row) => (row, &mut self.again),
        };
        self.key.clear();
        self.ctx.tables.codec.put_by_tick(row, &mut self.key);
        sorter.push(&self.key, i32::try_from(diff).unwrap_or(i32::MAX))
    }

    fn work(self, out: &mut Give<'_, AskOut>) -> Result<()> {
        let Self { ctx, delta, again, .. } = self;
        let (delta, again) = (delta.finish()?, again.finish()?);
        let (mut delta, mut again) = (delta.read()?, again.read()?);
        let mut admitted = ctx.tables.store.writer(FRAGMENT);
        let mut ended = ctx.tables.store.table("scored").finder()?;
        let (mut taken_back, mut retried) =
            (ctx.tables.sorter("scored", ctx.scored_key()), ctx.tables.sorter("retried", FRAGMENT));
        let (mut more, mut more_again) = (delta.next()?, again.next()?);
        let mut key = Vec::new();
        let mut found = Vec::new();
        let mut place = Vec::new();
        while more || more_again {
            key.clear();
            let first = more && (!more_again || delta.key() <= again.key());
            key.extend_from_slice(if first { delta.key() } else { again.key() });
            let (mut change, mut anew) = (0, false);
            if first {
                change = delta.count();
                admitted.push(&key, change)?;
                more = delta.next()?;
            }
            if more_again && again.key() == key.as_slice() {
                anew = true;
                more_again = again.next()?;
            }
            let row = ctx.tables.codec.by_tick(&mut key.as_slice());
            if change < 0 || anew {
                place.clear();
                ctx.tables.codec.put_place(row.place, &mut place);
                found.clear();
                ended.find(&place, |key, _| found.push(key.to_vec()))?;
                if found.len() != 1 && !(anew && found.is_empty()) {
                    return Err(damaged(ctx.tables.store.folder(), "an admitted row has no end, or several"));
                }
                for key in &found {
                    taken_back.push(key, -1)?;
                    match ctx.settled(key)? {
                        Settled::Scored(scored) => out.now(AskOut::Scored(scored), -1)?,
                        Settled::Ended(row, verdict) => {
                            if is_transient(verdict) {
                                let mut key = Vec::with_capacity(FRAGMENT);
                                ctx.tables.codec.put_by_tick(&row, &mut key);
                                retried.push(&key, -1)?;
                            }
                            let note = Note { place: row.place, lang: row.lang, verdict };
                            out.now(AskOut::Note(note), -1)?;
                        }
                    }
                }
            }
            match change + i32::from(anew) {
                0 | -1 => {}
                1 => out.now(AskOut::Wanted(row), 1)?,
                count => {
                    return Err(Error::bug(format!(
                        "row admitted twice: place={:?}, count={count}",
                        row.place
                    )));
                }
            }
        }
        ctx.tables.store.add("admitted", admitted.finish()?);
        ctx.tables.store.add("scored", taken_back.finish()?.into_run(ctx.tables.store.path())?);
        ctx.tables.store.add("again", retried.finish()?.into_run(ctx.tables.store.path())?);
        Ok(())
    }
}

/// Writes down how the models ended each row.
pub(crate) struct Recording {
    ctx: LedgerContext,
    scored: Sorter,
    again: Sorter,
    key: Vec<u8>,
}

impl Recording {
    pub(crate) fn new(ctx: &LedgerContext) -> Self {
        let (scored, again) =
            (ctx.tables.sorter("scored", ctx.scored_key()), ctx.tables.sorter("again", FRAGMENT));
        Self { ctx: ctx.clone(), scored, again, key: Vec::new() }
    }
}

impl Gather for Recording {
    type In = Settled;
    type Out = ();

    fn take(&mut self, settled: Settled, diff: isize) -> Result<()> {
        let count = i32::try_from(diff).unwrap_or(i32::MAX);
        self.ctx.put(&settled, &mut self.key)?;
        self.scored.push(&self.key, count)?;
        if let Settled::Ended(row, verdict) = settled
            && is_transient(verdict)
        {
            self.key.clear();
            self.ctx.tables.codec.put_by_tick(&row, &mut self.key);
            self.again.push(&self.key, count)?;
        }
        Ok(())
    }

    fn work(self, _out: &mut Give<'_, ()>) -> Result<()> {
        let Self { ctx, scored, again, .. } = self;
        ctx.tables.store.add("scored", scored.finish()?.into_run(ctx.tables.store.path())?);
        ctx.tables.store.add("again", again.finish()?.into_run(ctx.tables.store.path())?);
        Ok(())
    }
}
