//! One row per fragment that ended, and why; and the counts of all of them.
//!
//! **Why**: whoever wonders where a page went finds its place here, and the counters are sums of the same notes, so
//! the two cannot disagree. A file per shard, sorted by place, with a content name: an unchanged shard's is kept.
//! **In** `(note, epoch, diff)` of every stage, kept rows too; routed by shard. **Out** one [`Audited`] per worker and
//! sealed epoch. **State** the notes that the mode wants (32 bytes each), and the counts. **Faults** none.

use super::columns::properties;
use super::file::ContentFile;
use super::manifest::{AuditFile, reason_of, ruling_of, stage_of};
use super::part::failed;
use super::snapshot::AUDIT;
use crate::config::Audit;
use crate::error::{Error, Result};
use crate::model::{Epoch, Lang, Note, Place, Ruling, Stage, Verdict};
use crate::stage::gather::NOW;
use crate::state::damage::damaged;
use crate::stop::Stop;
use crate::telemetry::Tally;
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use differential_dataflow::consolidation::consolidate;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// Rows that are encoded at a time, and per row group.
const ROWS_PER_STEP: usize = 4096;
const ROWS_PER_GROUP: usize = 1 << 16;

/// What the audit of a run is told.
#[derive(Debug, Clone, Default)]
pub struct AuditContext {
    /// Key of each shard, by its position in the run's sorted list.
    pub shards: Vec<String>,
    /// Which notes it keeps. The counts are of all.
    pub mode: Audit,
    /// Fingerprint of the settings.
    pub fingerprint: u128,
    /// Where files are kept: [`Output::store`](super::Output::store).
    pub store: PathBuf,
    /// What was audited before, where notes are changes.
    pub before: Before,
}

/// The audit of the snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Its files, by the position of their shard.
    pub files: BTreeMap<u32, PathBuf>,
    /// Stages from this one on start anew: what ended there does not count.
    pub below: Option<Stage>,
}

/// What one worker knows once an epoch is sealed: everything up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Counts of every note.
    pub tally: Tally,
    /// A file per shard with notes that the mode wants.
    pub files: Vec<AuditFile>,
    /// Shards that were looked at; the files of others stand.
    pub touched: BTreeSet<u32>,
}

/// The columns of the audit, in order.
static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field("shard", DataType::Utf8),
        field("row", DataType::Int64),
        field("start", DataType::Int64),
        field("lang", DataType::Utf8),
        field("stage", DataType::Utf8),
        field("verdict", DataType::Utf8),
        field("reason", DataType::Utf8),
        field("value", DataType::Float64),
    ]))
});

/// Notes of one epoch that is not sealed yet.
struct Early {
    capability: Capability<Epoch>,
    tally: Tally,
    wanted: Vec<(Note, isize)>,
}

/// What is sealed.
#[derive(Default)]
struct Held {
    tally: Tally,
    notes: BTreeMap<u32, Vec<(Note, isize)>>,
    files: BTreeMap<u32, AuditFile>,
    loaded: BTreeSet<u32>,
}

impl Held {
    /// Takes in an epoch and writes the files of the shards that it touched.
    fn seal(
        &mut self,
        ctx: &AuditContext,
        tally: &Tally,
        wanted: Vec<(Note, isize)>,
        mine: impl Fn(u32) -> bool,
    ) -> Result<Audited> {
        self.tally.merge(tally);
        let mut touched = BTreeSet::new();
        for (note, diff) in wanted {
            touched.insert(note.place.shard);
            self.notes.entry(note.place.shard).or_default().push((note, diff));
        }
        if ctx.before.below.is_some() {
            touched.extend(ctx.before.files.keys().filter(|shard| mine(**shard)));
        }
        for shard in touched {
            let notes = self.notes.entry(shard).or_default();
            if self.loaded.insert(shard)
                && let Some(path) = ctx.before.files.get(&shard)
            {
                let below = |note: &Note| ctx.before.below.is_none_or(|below| note.verdict.stage < below);
                notes.extend(
                    read_file(&ctx.store, path, shard)?.into_iter().filter(below).map(|note| (note, 1)),
                );
            }
            consolidate(notes);
            self.files.remove(&shard);
            if notes.is_empty() {
                self.notes.remove(&shard);
            } else {
                self.files.insert(shard, write_file(ctx, shard, notes)?);
            }
        }
        Ok(Audited {
            tally: self.tally.clone(),
            files: self.files.values().cloned().collect(),
            touched: self.loaded.clone(),
        })
    }
}

/// Writes the notes of one shard, sorted by place.
fn write_file(ctx: &AuditContext, shard: u32, notes: &[(Note, isize)]) -> Result<AuditFile> {
    let key = ctx.shards.get(shard as usize);
    let key = key.ok_or_else(|| Error::bug(format!("shard unknown: shard={shard}")))?;
    if let Some((note, count)) = notes.iter().find(|(_, count)| *count < 1) {
        return Err(Error::bug(format!("note withdrawn that was not there: {note:?}, count={count}")));
    }
    let file = ContentFile::create(&ctx.store.join(AUDIT), key)?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties(ctx.fingerprint)?)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, COLUMNS.clone(), options)
        .map_err(|cause| Error::bug("audit not started").because(cause))?;
    let path = writer.inner().temporary().to_owned();
    for group in notes.chunks(ROWS_PER_GROUP) {
        for step in group.chunks(ROWS_PER_STEP) {
            writer.write(&batch_of(step, key)?).map_err(|cause| failed(&path, cause))?;
        }
        writer.flush().map_err(|cause| failed(&path, cause))?;
    }
    let stored = writer.into_inner().map_err(|cause| failed(&path, cause))?.finish()?;
    let rows = notes.len() as u64;
    Ok(AuditFile { shard: key.clone(), rows, bytes: stored.bytes, name: stored.name, hash: stored.hash })
}

fn batch_of(notes: &[(Note, isize)], key: &str) -> Result<RecordBatch> {
    let words = |word: &dyn Fn(&Note) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(notes.iter().map(|(note, _)| word(note))))
    };
    let numbers = |number: &dyn Fn(&Note) -> u32| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(notes.iter().map(|(note, _)| i64::from(number(note)))))
    };
    let values = notes.iter().map(|(note, _)| note.verdict.value as f64 / 1e6);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(notes.iter().map(|_| key))),
        numbers(&|note| note.place.row),
        numbers(&|note| note.place.start),
        words(&|note| note.lang.tag()),
        words(&|note| note.verdict.stage.name()),
        words(&|note| note.verdict.ruling.name()),
        words(&|note| note.verdict.reason.name()),
        Arc::new(Float64Array::from_iter_values(values)),
    ];
    RecordBatch::try_new(COLUMNS.clone(), columns)
        .map_err(|cause| Error::bug("columns do not fit their schema").because(cause))
}

/// The notes of one shard, as they were written.
fn read_file(store: &Path, path: &Path, shard: u32) -> Result<Vec<Note>> {
    let unfit = || damaged(store, &format!("audit not understood: name={}", path.display()));
    let file =
        std::fs::File::open(path).map_err(|cause| super::file::away("audit unreadable", path, cause))?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    let mut notes = Vec::new();
    for batch in reader.map_err(|cause| unfit().because(cause))? {
        let batch = batch.map_err(|cause| unfit().because(cause))?;
        let text = |name: &str| {
            batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(unfit)
        };
        let whole = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<Int64Type>())
                .ok_or_else(unfit)
        };
        let values =
            batch.column_by_name("value").and_then(|column| column.as_primitive_opt::<Float64Type>());
        let (values, rows, starts) = (values.ok_or_else(unfit)?, whole("row")?, whole("start")?);
        let (langs, stages, rulings, reasons) =
            (text("lang")?, text("stage")?, text("verdict")?, text("reason")?);
        for at in 0..batch.num_rows() {
            let small = |column: &Int64Array| u32::try_from(column.value(at)).map_err(|_| unfit());
            let verdict = Verdict {
                stage: stage_of(stages.value(at)).ok_or_else(unfit)?,
                ruling: ruling_of(rulings.value(at)).ok_or_else(unfit)?,
                reason: reason_of(reasons.value(at)).ok_or_else(unfit)?,
                value: crate::model::micros(values.value(at)),
            };
            let lang = Lang::from_tag(langs.value(at)).unwrap_or(Lang::UND);
            notes.push(Note {
                place: Place { shard, row: small(rows)?, start: small(starts)? },
                lang,
                verdict,
            });
        }
    }
    Ok(notes)
}

fn wants(mode: Audit, note: &Note) -> bool {
    mode == Audit::All || note.verdict.ruling == Ruling::Faulted
}

/// Which worker keeps the notes of a shard.
fn route(shard: u32) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&shard.to_le_bytes())
}

/// Wires the audit; the contract is on the module page.
pub fn audit(
    notes: Stream<'_, Epoch, Vec<(Note, Epoch, isize)>>,
    ctx: Arc<AuditContext>,
    stop: Stop,
) -> Stream<'_, Epoch, Vec<Audited>> {
    let by_shard = Exchange::new(|(note, _, _): &(Note, Epoch, isize)| route(note.place.shard));
    let (index, peers) = (notes.scope().index() as u64, notes.scope().peers() as u64);
    notes.unary_frontier::<CapacityContainerBuilder<Vec<Audited>>, _, _, _>(
        by_shard,
        "sink/audit",
        move |capability, _| {
            let mut early: BTreeMap<Epoch, Early> = BTreeMap::new();
            if ctx.before.below.is_some() {
                // Files lose notes even where none comes.
                let capability = capability.delayed(&NOW);
                early.insert(NOW, Early { capability, tally: Tally::default(), wanted: Vec::new() });
            }
            let mut held = Held::default();
            move |(input, frontier), output| {
                input.for_each_stamp(|stamp, batches| {
                    let Some(capability) = stamp.retain_least(0) else { return };
                    for (note, epoch, diff) in batches.flat_map(std::mem::take) {
                        let early = early.entry(epoch).or_insert_with(|| Early {
                            capability: capability.delayed(&epoch),
                            tally: Tally::default(),
                            wanted: Vec::new(),
                        });
                        early.tally.add(&note, diff);
                        if wants(ctx.mode, &note) {
                            early.wanted.push((note, diff));
                        }
                    }
                });
                while let Some(entry) = early.first_entry() {
                    if frontier.less_equal(entry.key()) || stop.is_raised() {
                        break;
                    }
                    let Early { capability, tally, wanted } = entry.remove();
                    match held.seal(&ctx, &tally, wanted, |shard| route(shard) % peers == index) {
                        Ok(audited) => output.session(&capability).give(audited),
                        Err(error) => stop.raise(error),
                    }
                }
            }
        },
    )
}
