//! Writes the parts of each shard: bundles in any order, rows in the order of their places.
//!
//! **Why**: models answer when they like, but a part must not tell how they did. Bundles of a shard are put back in
//! their order before a row is written; what waits is bounded by the credits that it still holds.
//! **In** bundles of the shards that this worker owns. **Out** one [`Part`] per (lang, shard) when the shard's last
//! bundle is written, and one [`Note`] per row, kept ones too. **Faults** none of its own: a disk that fails ends
//! the run, and the next one sweeps up.

use super::columns::Versions;
use super::manifest::{Ended, Part};
use super::part::PartWriter;
use super::splice::{Old, Splices, Stays};
use crate::config::parts::BLOCK_ROWS;
use crate::error::{Error, Result};
use crate::model::{Bundle, ContentId, Epoch, Exchange, Lang, Note, Place, Ruling, Stage, Verdict, Weight};
use crate::source::Credits;
use crate::stop::Stop;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use xxhash_rust::xxh3::Xxh3;

/// What all parts of a run share.
#[derive(Debug, Clone)]
pub struct PartContext {
    /// Key and digest of each shard, by its position in the run's sorted list.
    pub shards: Vec<(String, u128)>,
    /// What makes the rows.
    pub versions: Versions,
    /// Fingerprint of the settings.
    pub fingerprint: u128,
    /// Where parts are kept: [`Output::store`](super::Output::store).
    pub store: PathBuf,
    /// Source rows per row group.
    pub block_rows: u32,
    /// What stays of parts that change.
    pub splices: Splices,
}

impl Default for PartContext {
    fn default() -> Self {
        Self {
            shards: Vec::new(),
            versions: Versions::default(),
            fingerprint: 0,
            store: PathBuf::new(),
            block_rows: BLOCK_ROWS,
            splices: Splices::default(),
        }
    }
}

impl PartContext {
    fn shard(&self, shard: u32) -> Result<(&str, u128)> {
        let found = self.shards.get(shard as usize);
        let found = found.ok_or_else(|| Error::bug(format!("shard unknown: shard={shard}")))?;
        Ok((&found.0, found.1))
    }

    /// The fingerprint of a selection of a shard, fed row by row in the order of places.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if the run has no such shard.
    pub fn selected(&self, shard: u32) -> Result<Selected> {
        let (key, digest) = self.shard(shard)?;
        let mut hasher = Xxh3::new();
        hasher.update(&digest.to_le_bytes());
        hasher.update(&self.fingerprint.to_le_bytes());
        for text in self.versions.named().iter().map(|(_, text)| *text).chain([key]) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Ok(Selected { hasher })
    }
}

/// Fingerprint of what was selected of one shard, and of all that makes rows of it. Selection can compute it before
/// a row is read: equal ones give equal parts (see [`Manifest::reusable`](super::Manifest::reusable)).
#[derive(Clone)]
pub struct Selected {
    hasher: Xxh3,
}

impl Selected {
    /// The next row, by place.
    pub fn push(&mut self, place: Place, lang: Lang, content: ContentId, cell: u32) {
        self.hasher.update(&place.row.to_le_bytes());
        self.hasher.update(&place.start.to_le_bytes());
        self.hasher.update(lang.tag().as_bytes());
        self.hasher.update(&content.to_le_bytes());
        self.hasher.update(&cell.to_le_bytes());
    }

    /// The fingerprint.
    pub fn finish(&self) -> u128 {
        self.hasher.digest128()
    }
}

/// The most licences that a part counts by name.
const MOST_LICENSES: usize = 32;

/// The parts of one shard on their way.
struct Open {
    selected: Selected,
    /// The fingerprint of all rows, where only some of them come this way.
    spliced: Option<u128>,
    next: u32,
    last: Option<Place>,
    waiting: BTreeMap<u32, Bundle>,
    langs: BTreeMap<Lang, OpenPart>,
}

#[derive(Default)]
struct OpenPart {
    writer: Option<PartWriter>,
    licenses: BTreeMap<String, u64>,
    ended: Vec<Ended>,
    transient: bool,
    /// All of it stands as it was.
    whole: Option<Part>,
    /// Row groups that stay, by block, and where they are.
    groups: VecDeque<(u32, usize)>,
    old: Option<Old>,
}

impl OpenPart {
    fn counts_license(&mut self, license: &str) {
        let known = self.licenses.len() < MOST_LICENSES || self.licenses.contains_key(license);
        *self.licenses.entry(if known { license } else { "(other)" }.to_owned()).or_default() += 1;
    }

    fn writer(&mut self, ctx: &PartContext, shard: u32, lang: Lang) -> Result<&mut PartWriter> {
        let writer = if let Some(writer) = self.writer.take() {
            writer
        } else {
            let (key, _) = ctx.shard(shard)?;
            PartWriter::create(&ctx.store, lang, key, ctx.fingerprint, ctx.block_rows)?
        };
        Ok(self.writer.insert(writer))
    }

    /// Copies what stays of the blocks before `block`; all that is left without one.
    fn copy_before(&mut self, ctx: &PartContext, shard: u32, lang: Lang, block: Option<u32>) -> Result<()> {
        let before = |(at, _): &(u32, usize)| block.is_none_or(|block| *at < block);
        while let Some((_, group)) = self.groups.pop_front_if(|next| before(next)) {
            let old = self.old.take().ok_or_else(|| Error::bug("row groups of no part"))?;
            old.licenses(group, |license| self.counts_license(license))?;
            self.writer(ctx, shard, lang)?.copy(&old, group, &ctx.versions)?;
            ctx.splices.count_copied();
            self.old = Some(old);
        }
        Ok(())
    }
}

/// What accepting a bundle led to.
#[derive(Default)]
struct Written {
    notes: Vec<Note>,
    back: Vec<Weight>,
    parts: Option<Vec<Part>>,
}

impl Open {
    fn new(ctx: &PartContext, shard: u32) -> Result<Self> {
        let selected = ctx.selected(shard)?;
        let mut langs = BTreeMap::new();
        let splice = ctx.splices.take(shard);
        let spliced = splice.as_ref().map(|splice| splice.selected);
        for (lang, stays) in splice.map(|splice| splice.langs).unwrap_or_default() {
            let part = match stays {
                Stays::Whole(part) => OpenPart { whole: Some(part), ..OpenPart::default() },
                Stays::Groups { path, groups, ended } => {
                    let old = if groups.is_empty() { None } else { Some(Old::open(&path)?) };
                    OpenPart { ended, groups, old, ..OpenPart::default() }
                }
            };
            langs.insert(lang, part);
        }
        Ok(Self { selected, spliced, next: 0, last: None, waiting: BTreeMap::new(), langs })
    }

    /// Takes a bundle, and writes as far as the order allows.
    fn accept(&mut self, ctx: &PartContext, bundle: Bundle) -> Result<Written> {
        let (shard, serial) = (bundle.shard, bundle.serial);
        if serial < self.next || self.waiting.insert(serial, bundle).is_some() {
            return Err(Error::bug(format!("bundle came twice: shard={shard}, serial={serial}")));
        }
        let mut written = Written::default();
        while let Some(bundle) = self.waiting.remove(&self.next) {
            self.next += 1;
            for row in bundle.rows {
                written.notes.push(self.write(ctx, shard, row)?);
            }
            written.back.push(bundle.weight);
            if bundle.last {
                if let Some(serial) = self.waiting.keys().next() {
                    return Err(Error::bug(format!("bundle after the last: shard={shard}, serial={serial}")));
                }
                written.parts = Some(self.finish(ctx, shard)?);
            }
        }
        Ok(written)
    }

    fn write(&mut self, ctx: &PartContext, shard: u32, row: Exchange) -> Result<Note> {
        let (place, lang) = (row.place, row.lang);
        if place.shard != shard || self.last.is_some_and(|last| last >= place) {
            return Err(Error::bug(format!("row out of order: place={place:?}, before={:?}", self.last)));
        }
        self.last = Some(place);
        self.selected.push(place, lang, row.content, row.cell);
        let part = self.langs.entry(lang).or_default();
        let verdict = row.outcome.unwrap_or_else(|| Verdict::kept(Stage::Localize, row.score));
        if part.whole.is_some() {
            return Err(Error::bug(format!("row of a part that stands: place={place:?}")));
        }
        if verdict.ruling == Ruling::Kept {
            part.copy_before(ctx, shard, lang, Some(place.row / ctx.block_rows.max(1)))?;
            part.counts_license(&row.lineage.license);
            part.writer(ctx, shard, lang)?.push(row, &ctx.versions)?;
        } else {
            part.ended.push(Ended::new(place, verdict));
            part.transient |= verdict.reason.is_unanswered();
        }
        Ok(Note { place, lang, verdict })
    }

    fn finish(&mut self, ctx: &PartContext, shard: u32) -> Result<Vec<Part>> {
        let (key, digest) = ctx.shard(shard)?;
        let selected = self.spliced.unwrap_or_else(|| self.selected.finish());
        let transient = self.langs.values().any(|open| open.transient);
        let mut parts = Vec::new();
        for (lang, mut open) in std::mem::take(&mut self.langs) {
            if let Some(part) = open.whole {
                parts.push(Part { selected, transient_faults: transient, ..part });
                continue;
            }
            open.copy_before(ctx, shard, lang, None)?;
            // Rows that ended before, in their order among those that ended now.
            open.ended.sort_unstable();
            let mut part = Part {
                lang,
                shard: key.to_owned(),
                digest,
                selected,
                transient_faults: transient,
                licenses: open.licenses,
                ended: open.ended,
                ..Part::default()
            };
            if let Some(writer) = open.writer {
                let (stored, rows) = writer.finish(&ctx.versions)?;
                (part.rows, part.bytes, part.name, part.hash) =
                    (rows, stored.bytes, stored.name, stored.hash);
            }
            parts.push(part);
        }
        Ok(parts)
    }
}

/// Wires the writer; the contract is on the module page. Every bundle of a shard must reach the same worker. When the
/// disk fails, `stop` is raised.
pub fn write(
    bundles: Stream<'_, Epoch, Bundle>,
    ctx: Arc<PartContext>,
    credits: Rc<Credits>,
    stop: Stop,
) -> (Stream<'_, Epoch, Vec<Part>>, Stream<'_, Epoch, Vec<Note>>) {
    let mut builder = OperatorBuilder::new("sink/parts".to_owned(), bundles.scope());
    let mut input = builder.new_input(bundles, Pipeline);
    let (parts_out, parts) = builder.new_output();
    let (notes_out, notes) = builder.new_output();
    let mut parts_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Part>>>::from(parts_out);
    let mut notes_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Note>>>::from(notes_out);
    builder.build(move |_| {
        let mut open: BTreeMap<(Epoch, u32), (Capability<Epoch>, Open)> = BTreeMap::new();
        move |frontiers| {
            if stop.is_raised() {
                return;
            }
            let mut failure = None;
            input.for_each_stamp(|stamp, bundles| {
                let (Some(parts_cap), Some(notes_cap)) = (stamp.retain_least(0), stamp.retain_least(1))
                else {
                    return;
                };
                let epoch = *parts_cap.time();
                let mut parts_out = parts_out.activate();
                let mut notes_out = notes_out.activate();
                let mut notes = notes_out.session(&notes_cap);
                for bundle in bundles.map(std::mem::take) {
                    let key = (epoch, bundle.shard);
                    match accept(&mut open, &ctx, key, &parts_cap, bundle) {
                        Ok(written) => {
                            notes.give_iterator(written.notes.into_iter());
                            written.back.into_iter().for_each(|weight| credits.give(weight));
                            if let Some(done) = written.parts {
                                open.remove(&key);
                                parts_out.session(&parts_cap).give_iterator(done.into_iter());
                            }
                        }
                        Err(error) => {
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
            let late =
                open.keys().find(|(epoch, _)| !frontiers.iter().any(|frontier| frontier.less_equal(epoch)));
            if let (Some((epoch, shard)), None) = (late, failure.as_ref()) {
                failure = Some(Error::bug(format!("bundles missing: epoch={epoch}, shard={shard}")));
            }
            if let Some(error) = failure {
                stop.raise(error);
            }
        }
    });
    (parts, notes)
}

fn accept(
    open: &mut BTreeMap<(Epoch, u32), (Capability<Epoch>, Open)>,
    ctx: &PartContext,
    key: (Epoch, u32),
    capability: &Capability<Epoch>,
    bundle: Bundle,
) -> Result<Written> {
    use std::collections::btree_map::Entry;
    let (_, shard) = match open.entry(key) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert((capability.clone(), Open::new(ctx, key.1)?)),
    };
    shard.accept(ctx, bundle)
}

#[cfg(test)]
#[path = "splice_tests.rs"]
mod splice_tests;
