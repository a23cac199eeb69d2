//! The least rows of each group, from durable state: what sample, threshold and quota share.
//!
//! **Why**: rows lie in the order of their rank, so what a group keeps is a prefix. A delta moves the end of that prefix by
//! a few rows; only those, and the rows of the delta, change their verdict.
//! **In** rows with their cell, and rows that only count. **Out** each change: kept or left. **State** `stage/rows`: lang,
//! cell, rank, row; `stage/cuts`: per group its rows, how many are kept, and the rank of the last one kept.

use super::gather::{Gather, Give, gathered};
use crate::error::{Error, Result};
use crate::model::{Epoch, FragmentRow, Lang, Scored};
use crate::state::codec::{self, Codec, PLACE, RANK, Shape, scored_width};
use crate::state::merge::Merge;
use crate::state::sorter::Sorter;
use crate::state::table::View;
use crate::state::tables::Tables;
use crate::stop::Stop;
use differential_dataflow::{ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A row that has a rank.
pub(crate) trait CutRow: ExchangeData {
    /// Bytes of its rank, which it begins with.
    const RANK: usize;
    /// Its lang.
    fn lang(&self) -> Lang;
    /// Bytes of a row.
    fn width(shape: Shape) -> usize;
    /// Writes it.
    fn put(&self, codec: &Codec, shape: Shape, out: &mut Vec<u8>) -> Result<()>;
    /// Reads it.
    fn take(codec: &Codec, shape: Shape, bytes: &[u8]) -> Self;
}

impl CutRow for FragmentRow {
    const RANK: usize = 2 + 8 + PLACE;

    fn lang(&self) -> Lang {
        self.lang
    }

    fn width(_shape: Shape) -> usize {
        codec::FRAGMENT
    }

    fn put(&self, codec: &Codec, _shape: Shape, out: &mut Vec<u8>) -> Result<()> {
        codec.put_by_tick(self, out);
        Ok(())
    }

    fn take(codec: &Codec, _shape: Shape, mut bytes: &[u8]) -> Self {
        codec.by_tick(&mut bytes)
    }
}

impl CutRow for Scored {
    const RANK: usize = RANK;

    fn lang(&self) -> Lang {
        self.row.lang
    }

    fn width(shape: Shape) -> usize {
        scored_width(shape)
    }

    fn put(&self, codec: &Codec, shape: Shape, out: &mut Vec<u8>) -> Result<()> {
        codec.put_best_first(self, shape, out)
    }

    fn take(codec: &Codec, shape: Shape, mut bytes: &[u8]) -> Self {
        codec.best_first(shape, &mut bytes)
    }
}

/// What a cut takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum CutIn<T> {
    /// A row of a cell of its lang.
    Row(u32, T),
    /// A row that counts for its lang and is not ranked.
    Count(Lang),
}

/// How many rows each cell of a lang keeps: of the lang, all its rows, and the rows of its cells, ascending, none empty.
pub(crate) type Wanted = Arc<dyn Fn(Lang, u64, &[(u32, u64)]) -> Vec<u64> + Send + Sync>;

/// What a cut needs to know.
#[derive(Clone)]
pub(crate) struct CutContext {
    pub(crate) stage: &'static str,
    pub(crate) tables: Tables,
    pub(crate) shape: Shape,
    pub(crate) stop: Stop,
}

/// Wires it: each row whose verdict changes, and whether it is kept.
pub(crate) fn cut<'s, T: CutRow>(
    ctx: &CutContext,
    rows: VecCollection<'s, Epoch, CutIn<T>>,
    wanted: Wanted,
) -> VecCollection<'s, Epoch, (bool, T)> {
    let route = |row: &CutIn<T>| {
        let lang = match row {
            CutIn::Row(_, row) => row.lang(),
            CutIn::Count(lang) => *lang,
        };
        u64::from(lang.index()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
    };
    let sorter = ctx.tables.sorter(ctx.stage, GROUP + T::width(ctx.shape));
    let cut = Cut {
        ctx: ctx.clone(),
        wanted,
        sorter,
        counts: BTreeMap::new(),
        key: Vec::new(),
        of: std::marker::PhantomData,
    };
    gathered(&format!("{}/cut", ctx.stage), rows, route, &ctx.stop, cut)
}

/// Bytes of a group: lang and cell.
const GROUP: usize = 6;
/// In the place of a cell: rows of the lang that only count.
const UNRANKED: u32 = u32::MAX;

struct Cut<T> {
    ctx: CutContext,
    wanted: Wanted,
    sorter: Sorter,
    counts: BTreeMap<Lang, i64>,
    key: Vec<u8>,
    of: std::marker::PhantomData<fn(T)>,
}

/// A group: rows, how many of them are kept, the rank of the last of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    count: i64,
    kept: i64,
    last: Vec<u8>,
}

/// What a delta does to a group: rows more, and of these, rows that rank with the kept ones.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    rows: i64,
    within: i64,
}

impl<T: CutRow> Gather for Cut<T> {
    type In = CutIn<T>;
    type Out = (bool, T);

    fn take(&mut self, row: CutIn<T>, diff: isize) -> Result<()> {
        match row {
            CutIn::Count(lang) => *self.counts.entry(lang).or_default() += diff as i64,
            CutIn::Row(cell, row) => {
                self.key.clear();
                codec::put_lang(row.lang(), &mut self.key);
                self.key.extend_from_slice(&cell.to_be_bytes());
                row.put(&self.ctx.tables.codec, self.ctx.shape, &mut self.key)?;
                self.sorter.push(&self.key, i32::try_from(diff).unwrap_or(i32::MAX))?;
            }
        }
        Ok(())
    }

    fn work(self, out: &mut Give<'_, (bool, T)>) -> Result<()> {
        let Self { ctx, wanted, sorter, counts, .. } = self;
        let name = |what: &str| format!("{}/{what}", ctx.stage);
        let (run, meta) = sorter.finish()?.into_run(ctx.tables.store.path())?;
        let run = Arc::new(run);
        let delta = View::new(vec![Arc::clone(&run)]);
        let mut langs: BTreeSet<Lang> =
            counts.iter().filter(|(_, count)| **count != 0).map(|(lang, _)| *lang).collect();
        langs.extend(langs_of(&delta)?);
        let stated = ctx.tables.sorter("cuts", GROUP + 16 + T::RANK);
        let table = ctx.tables.store.table(&name("rows"));
        let mut groups = Groups { cuts: ctx.tables.store.table(&name("cuts")), rank: T::RANK, stated };
        let all = table.with(&delta);
        let mut own = delta.finder()?;
        for lang in langs {
            let mut held = groups.load(lang)?;
            let mut changes: BTreeMap<u32, Change> = BTreeMap::new();
            let mut rows = of_lang(&delta, lang)?;
            while let Some((cell, key, count)) = rows.next()? {
                let within = held.get(&cell).is_some_and(|held| ranks_within::<T>(key, &held.last));
                let count = i64::from(count);
                let change = changes.entry(cell).or_default();
                change.rows += count;
                change.within += if within { count } else { 0 };
            }
            let uncounted = counts.get(&lang).copied().unwrap_or_default();
            let before = held.clone();
            for (cell, change) in changes
                .iter()
                .map(|(cell, change)| (*cell, *change))
                .chain([(UNRANKED, Change { rows: uncounted, within: 0 })])
            {
                held.entry(cell).or_default().count += change.rows;
            }
            let total: i64 = held.values().map(|held| held.count).sum();
            let cells: Vec<(u32, u64)> = held
                .iter()
                .filter(|(cell, held)| **cell != UNRANKED && held.count > 0)
                .map(|(cell, held)| (*cell, held.count.unsigned_abs()))
                .collect();
            let keeps = wanted(lang, total.unsigned_abs(), &cells);
            let keeps: BTreeMap<u32, u64> = cells.iter().map(|(cell, _)| *cell).zip(keeps).collect();
            for (cell, held) in held.iter_mut().filter(|(cell, _)| **cell != UNRANKED) {
                let keep = i64::try_from(keeps.get(cell).copied().unwrap_or_default())
                    .unwrap_or(i64::MAX)
                    .min(held.count);
                let now = held.kept + changes.get(cell).map_or(0, |change| change.within);
                let prefix = group(lang, *cell);
                let mut moved = |key: &[u8], kept: bool| {
                    // A row of the delta is told below, where it ends up.
                    if own.first(key)?.is_none() {
                        let row = T::take(&ctx.tables.codec, ctx.shape, &key[GROUP..]);
                        out.now((kept, row.clone()), 1)?;
                        out.now((!kept, row), -1)?;
                    }
                    Ok(())
                };
                held.last = end::<T>(&all, &prefix, std::mem::take(&mut held.last), now, keep, &mut moved)?;
                held.kept = keep;
            }
            let mut rows = of_lang(&delta, lang)?;
            while let Some((cell, key, count)) = rows.next()? {
                let side = |held: &BTreeMap<u32, Held>| {
                    held.get(&cell).is_some_and(|held| ranks_within::<T>(key, &held.last))
                };
                let row = T::take(&ctx.tables.codec, ctx.shape, &key[GROUP..]);
                match count {
                    1 => out.now((side(&held), row), 1)?,
                    -1 => out.now((side(&before), row), -1)?,
                    count => {
                        return Err(Error::bug(format!(
                            "row ranked twice: stage={}, count={count}",
                            ctx.stage
                        )));
                    }
                }
            }
            groups.save(lang, &before, &held)?;
        }
        ctx.tables.store.add_shared(&name("rows"), run, meta);
        ctx.tables.store.add(&name("cuts"), groups.stated.finish()?.into_run(ctx.tables.store.path())?);
        Ok(())
    }
}

fn group(lang: Lang, cell: u32) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(GROUP);
    codec::put_lang(lang, &mut prefix);
    prefix.extend_from_slice(&cell.to_be_bytes());
    prefix
}

fn ranks_within<T: CutRow>(key: &[u8], last: &[u8]) -> bool {
    !last.is_empty() && key.get(GROUP..GROUP + T::RANK).is_some_and(|rank| rank <= last)
}

/// Moves the end of what a group keeps from `now` rows to `keep`, and tells each row that it passes. Gives back the rank
/// of the last row kept.
fn end<T: CutRow>(
    all: &View,
    prefix: &[u8],
    last: Vec<u8>,
    now: i64,
    keep: i64,
    moved: &mut impl FnMut(&[u8], bool) -> Result<()>,
) -> Result<Vec<u8>> {
    // Greater than every row of this rank.
    let behind = |last: &[u8]| [prefix, last, &[0xff; 512]].concat();
    let rank = |key: &[u8]| key[GROUP..GROUP + T::RANK].to_vec();
    let lacking = || Error::bug("a group has fewer rows than it counts");
    if now < keep {
        let mut rows = all.scan(&if last.is_empty() { prefix.to_vec() } else { behind(&last) })?;
        let mut last = last;
        for _ in now..keep {
            if !rows.next()? || !rows.key().starts_with(prefix) {
                return Err(lacking());
            }
            moved(rows.key(), true)?;
            last = rank(rows.key());
        }
        return Ok(last);
    }
    if now > keep {
        let mut rows = all.scan_back(&behind(&last))?;
        for _ in keep..now {
            if !rows.next()? || !rows.key().starts_with(prefix) {
                return Err(lacking());
            }
            moved(rows.key(), false)?;
        }
        if keep == 0 {
            return Ok(Vec::new());
        }
        if !rows.next()? || !rows.key().starts_with(prefix) {
            return Err(lacking());
        }
        return Ok(rank(rows.key()));
    }
    Ok(if keep == 0 { Vec::new() } else { last })
}

/// The rows of one lang.
struct OfLang {
    merge: Merge,
    lang: [u8; 2],
}

impl OfLang {
    fn next(&mut self) -> Result<Option<(u32, &[u8], i32)>> {
        if !self.merge.next()? || !self.merge.key().starts_with(&self.lang) {
            return Ok(None);
        }
        let key = self.merge.key();
        Ok(Some((u32::from_be_bytes(codec::take(&mut &key[2..])), key, self.merge.count())))
    }
}

fn of_lang(view: &View, lang: Lang) -> Result<OfLang> {
    let lang = lang.index().to_be_bytes();
    Ok(OfLang { merge: view.scan(&lang)?, lang })
}

fn langs_of(view: &View) -> Result<BTreeSet<Lang>> {
    let mut langs = BTreeSet::new();
    let mut merge = view.scan(&[])?;
    while merge.next()? {
        let lang = codec::lang(&mut merge.key());
        langs.insert(lang);
        match lang.index().checked_add(1) {
            Some(next) => merge.seek(&next.to_be_bytes())?,
            None => break,
        }
    }
    Ok(langs)
}

/// The table of groups.
struct Groups {
    cuts: View,
    rank: usize,
    stated: Sorter,
}

impl Groups {
    fn load(&self, lang: Lang) -> Result<BTreeMap<u32, Held>> {
        let mut held = BTreeMap::new();
        let mut rows = of_lang(&self.cuts, lang)?;
        while let Some((cell, key, _)) = rows.next()? {
            let mut rest = &key[GROUP..];
            let count = i64::from_be_bytes(codec::take(&mut rest));
            let kept = i64::from_be_bytes(codec::take(&mut rest));
            let last = if kept > 0 { rest.to_vec() } else { Vec::new() };
            held.insert(cell, Held { count, kept, last });
        }
        Ok(held)
    }

    fn save(&mut self, lang: Lang, before: &BTreeMap<u32, Held>, after: &BTreeMap<u32, Held>) -> Result<()> {
        for (groups, other, diff) in [(before, after, -1), (after, before, 1)] {
            for (cell, held) in
                groups.iter().filter(|(cell, held)| held.count != 0 && other.get(cell) != Some(held))
            {
                let mut row = group(lang, *cell);
                row.extend_from_slice(&held.count.to_be_bytes());
                row.extend_from_slice(&held.kept.to_be_bytes());
                row.extend_from_slice(&held.last);
                row.resize(GROUP + 16 + self.rank, 0);
                self.stated.push(&row, diff)?;
            }
        }
        Ok(())
    }
}
