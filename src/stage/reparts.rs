//! Which parts a delta touches: they are written again, the others stand.
//!
//! **Why**: a shard's parts are a function of what is selected of it, so only shards with a change are looked at, whatever
//! the size of the output. **In** changes of the selection. **Out** rows to read again, parts taken over, and the notes
//! that no longer hold. **State** `selected`: place, lang, content, cell, score.

use super::gather::{Gather, Give};
use super::reread::{Route, Wanted};
use super::reuse::{Selected, ends_of, wanted_of};
use crate::error::{Error, Result};
use crate::model::{Lang, Note, Place, Scored};
use crate::sink::manifest::{Manifest, Part};
use crate::sink::parts::PartContext;
use crate::sink::splice::{Splice, Stays};
use crate::state::codec::{self, PLACE};
use crate::state::sorter::Sorter;
use crate::state::tables::Tables;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What it needs to know.
#[derive(Clone)]
pub(crate) struct RepartsContext {
    pub(crate) tables: Tables,
    /// What makes parts.
    pub(crate) parts: Arc<PartContext>,
    /// The snapshot before.
    pub(crate) known: Option<Arc<Manifest>>,
    /// Which shards are wanted, by position.
    pub(crate) wanted: Arc<[bool]>,
    /// Selection starts anew: there is nothing to take back, and all of it is a change.
    pub(crate) restarted: bool,
    /// Shards whose parts this run decides; those of the others stand.
    pub(crate) touched: Arc<Mutex<BTreeSet<u32>>>,
}

/// What becomes of a shard's rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Repart {
    /// To be read again.
    Wanted(Wanted),
    /// Stands as it is.
    Standing(Box<Part>),
    /// The end of a selected row.
    Note(Note),
}

/// Bytes of a selected row.
const SELECTED: usize = PLACE + 2 + 16 + 4 + 8;

pub(crate) struct Reparts {
    ctx: RepartsContext,
    sorter: Sorter,
    key: Vec<u8>,
    /// Shards of this worker that must be looked at even without a change.
    forced: BTreeSet<u32>,
}

impl Reparts {
    /// For worker `index` of `peers`.
    pub(crate) fn new(ctx: &RepartsContext, index: usize, peers: usize) -> Self {
        let mine = |shard: u32| {
            let wanted = Wanted { place: Place::of_row(shard, 0), lang: Lang::UND, content: 0, cell: 0 };
            Route::Shard.of(&wanted) % peers as u64 == index as u64
        };
        let forced = (0..)
            .zip(ctx.wanted.iter())
            .filter(|(shard, wanted)| **wanted && mine(*shard))
            .map(|(shard, _)| shard);
        let forced = stale(ctx, forced);
        Self { ctx: ctx.clone(), sorter: ctx.tables.sorter("selected", SELECTED), key: Vec::new(), forced }
    }
}

/// The shards among these whose parts cannot stand, whatever is selected of them.
fn stale(ctx: &RepartsContext, shards: impl Iterator<Item = u32>) -> BTreeSet<u32> {
    let Some(known) = &ctx.known else { return shards.collect() };
    let settings = known.fingerprint != ctx.parts.fingerprint || known.versions != ctx.parts.versions;
    let transient = known.parts.iter().filter(|part| part.transient_faults).map(|part| part.shard.as_str());
    let transient: BTreeSet<&str> = transient.collect();
    let of = |shard: &u32| {
        let Some((key, digest)) = ctx.parts.shards.get(*shard as usize) else { return true };
        let other = known.shard(key).is_none_or(|entry| entry.digest != *digest);
        settings || other || transient.contains(key.as_str())
    };
    shards.filter(of).collect()
}

/// The route of a selected row: the worker that writes its shard's parts.
pub(crate) fn route(scored: &Scored) -> u64 {
    Route::Shard.of(&wanted_of(scored))
}

impl Gather for Reparts {
    type In = Scored;
    type Out = Repart;

    fn take(&mut self, scored: Scored, diff: isize) -> Result<()> {
        self.key.clear();
        self.ctx.tables.codec.put_place(scored.row.place, &mut self.key);
        codec::put_lang(scored.row.lang, &mut self.key);
        self.key.extend_from_slice(&scored.row.content.to_be_bytes());
        self.key.extend_from_slice(&scored.cell.to_be_bytes());
        self.key.extend_from_slice(&scored.score.to_be_bytes());
        self.sorter.push(&self.key, i32::try_from(diff).unwrap_or(i32::MAX))
    }

    fn always(&self) -> bool {
        !self.forced.is_empty()
    }

    fn work(self, out: &mut Give<'_, Repart>) -> Result<()> {
        let Self { ctx, sorter, forced, .. } = self;
        let sorted = sorter.finish()?;
        let mut delta = sorted.read()?;
        let mut run = ctx.tables.store.writer(SELECTED);
        let mut table = ctx.tables.store.table("selected").finder()?;
        let mut forced = forced.into_iter().peekable();
        let mut more = delta.next()?;
        loop {
            let changed = more.then(|| selected_of(&ctx, delta.key()).0.place.shard);
            let Some(shard) = [changed, forced.peek().copied()].into_iter().flatten().min() else { break };
            forced.next_if_eq(&shard);
            let mut old: Vec<Selected> = Vec::new();
            table.find(&ctx.tables.codec.shard(shard), |key, _| old.push(selected_of(&ctx, key)))?;
            let mut new: BTreeMap<Selected, i32> = old.iter().map(|row| (*row, 1)).collect();
            while more && selected_of(&ctx, delta.key()).0.place.shard == shard {
                run.push(delta.key(), delta.count())?;
                *new.entry(selected_of(&ctx, delta.key())).or_default() += delta.count();
                more = delta.next()?;
            }
            if let Some((row, count)) = new.iter().find(|(_, count)| !matches!(count, 0 | 1)) {
                return Err(Error::bug(format!("row selected twice: row={row:?}, count={count}")));
            }
            let new: Vec<Selected> =
                new.into_iter().filter(|(_, count)| *count == 1).map(|(row, _)| row).collect();
            decide(&ctx, shard, &old, &new, out)?;
        }
        ctx.tables.store.add("selected", run.finish()?);
        Ok(())
    }
}

/// What becomes of one shard.
fn decide(
    ctx: &RepartsContext,
    shard: u32,
    old: &[Selected],
    new: &[Selected],
    out: &mut Give<'_, Repart>,
) -> Result<()> {
    ctx.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
    let key = ctx.parts.shards.get(shard as usize).map_or("", |(key, _)| key.as_str());
    let wanted = ctx.wanted.get(shard as usize).copied().unwrap_or_default();
    let mut selected = None;
    if wanted {
        let mut print = ctx.parts.selected(shard)?;
        for (row, _) in new {
            print.push(row.place, row.lang, row.content, row.cell);
        }
        let print = print.finish();
        let standing = ctx.known.as_deref().and_then(|known| known.reusable(key, print));
        if let Some(parts) = standing {
            if ctx.restarted {
                for note in ends_of(&parts, shard, new) {
                    out.now(Repart::Note(note), 1)?;
                }
            }
            for part in parts {
                out.now(Repart::Standing(Box::new(part)), 1)?;
            }
            return Ok(());
        }
        selected = Some(print);
    } else if let Some((row, _)) = new.first() {
        return Err(Error::bug(format!("row of a shard that is gone: place={:?}", row.place)));
    }
    // Where selection starts anew, nothing is taken back and nothing stays.
    let before = if ctx.restarted { Vec::new() } else { parts_of(ctx, key) };
    let changed = selected.and_then(|selected| splice(ctx, shard, &before, old, new, selected));
    let block_rows = ctx.parts.block_rows.max(1);
    let differs = |(row, _): &&Selected| {
        changed.as_ref().is_none_or(|blocks| blocks.contains(&(row.place.row / block_rows)))
    };
    if !ctx.restarted {
        let old: Vec<Selected> = old.iter().filter(differs).copied().collect();
        for note in ends_of(&before, shard, &old) {
            out.now(Repart::Note(note), -1)?;
        }
    }
    for (row, _) in new.iter().filter(differs) {
        out.now(Repart::Wanted(*row), 1)?;
    }
    Ok(())
}

/// The parts of a shard in the snapshot before.
fn parts_of(ctx: &RepartsContext, key: &str) -> Vec<Part> {
    let known = ctx.known.as_deref().map(|known| known.parts.as_slice()).unwrap_or_default();
    known.iter().filter(|part| part.shard == key).cloned().collect()
}

/// The blocks of a shard that differ, where the others can stay: what stays is told to the writer. `None` if all rows are
/// to be written anew.
fn splice(
    ctx: &RepartsContext,
    shard: u32,
    parts: &[Part],
    old: &[Selected],
    new: &[Selected],
    selected: u128,
) -> Option<BTreeSet<u32>> {
    let known = ctx.known.as_deref().filter(|_| !ctx.restarted)?;
    let (_, digest) = ctx.parts.shards.get(shard as usize)?;
    let made_alike = known.fingerprint == ctx.parts.fingerprint && known.versions == ctx.parts.versions;
    let sound = |part: &Part| {
        part.digest == *digest
            && !part.transient_faults
            && part.ended.iter().all(|ended| ended.note(shard, part.lang).is_some())
    };
    if !made_alike || !parts.iter().all(sound) {
        return None;
    }
    let block_rows = ctx.parts.block_rows.max(1);
    let block = |row: &Selected| row.0.place.row / block_rows;
    let (before, after): (BTreeSet<&Selected>, BTreeSet<&Selected>) =
        (old.iter().collect(), new.iter().collect());
    let mut changed: BTreeSet<u32> = before.symmetric_difference(&after).map(|row| block(row)).collect();
    if !new.iter().any(|row| changed.contains(&block(row))) {
        // All that differs is gone: a block comes by the writer anew, and with it the shard.
        changed.insert(block(new.last()?));
    }
    if new.iter().all(|row| changed.contains(&block(row))) {
        return None;
    }
    let touched: BTreeSet<Lang> =
        old.iter().chain(new).filter(|row| changed.contains(&block(row))).map(|(row, _)| row.lang).collect();
    let mut langs = BTreeMap::new();
    for part in parts {
        let lang = part.lang;
        if !new.iter().any(|(row, _)| row.lang == lang) {
            continue;
        }
        let whole = !touched.contains(&lang);
        let stays = Stays::of(part, &ctx.parts.store, &changed, block_rows)?;
        langs.insert(lang, if whole { Stays::Whole(part.clone()) } else { stays });
    }
    ctx.parts.splices.put(shard, Splice { selected, langs });
    Some(changed)
}

fn selected_of(ctx: &RepartsContext, mut key: &[u8]) -> Selected {
    let place = ctx.tables.codec.place(&mut key);
    let lang = codec::lang(&mut key);
    let content = u128::from_be_bytes(codec::take(&mut key));
    let cell = u32::from_be_bytes(codec::take(&mut key));
    (Wanted { place, lang, content, cell }, i64::from_be_bytes(codec::take(&mut key)))
}
