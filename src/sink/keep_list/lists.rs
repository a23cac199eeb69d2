//! Writes the three lists, shard by shard; ids are read again while it does.
//!
//! Memory: a row group of each list, and the ids of the rows that stand in clusters.

use super::manifest::{KeepList, ListFile};
use super::members::{Member, Pair};
use crate::error::{Error, Result};
use crate::model::{Place, fragment_id};
use crate::sink::columns::properties;
use crate::sink::file::{ContentFile, Stored};
use crate::sink::manifest::ShardEntry;
use crate::sink::names::hex;
use crate::sink::part::failed;
use crate::source::ids::for_each_id;
use crate::source::shard::Survey;
use crate::source::{ColumnSettings, Open, Shard};
use crate::workers::side_by_side;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Encoding;
use parquet::schema::types::ColumnPath;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Rows that are encoded at a time, and per row group.
const ROWS_PER_STEP: usize = 1 << 13;
const ROWS_PER_GROUP: usize = 1 << 20;

/// The key of a shard, ids of rows of it, and the rows.
type Step<'a> = (&'a str, Vec<String>, Vec<i64>);

/// Never told: who writes says why it wants no more.
fn unwanted() -> Error {
    Error::bug("the writer of kept rows ended")
}

/// What the lists are made from.
pub struct Lists<'a> {
    /// The shards, sorted by key.
    pub shards: &'a [Shard],
    /// Their surveys.
    pub surveys: &'a [Survey],
    /// How they are opened.
    pub open: &'a dyn Open,
    /// Which columns were read.
    pub columns: &'a ColumnSettings,
    /// Where files wait: [`Output::store`](crate::sink::Output::store).
    pub store: &'a Path,
    /// Fingerprint of the settings.
    pub fingerprint: u128,
    /// What readers know of the shards: digests, in the order of `shards`.
    pub entries: &'a [ShardEntry],
    /// The files of the lists before.
    pub known: &'a [ListFile],
}

impl Lists<'_> {
    /// Writes all three. `out` are the rows that do not stay, by place; the other two are in the order of their lists.
    /// Gives back the files and how many listed rows have no id of their own.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a shard or the disk fails.
    pub(crate) fn write(
        &self,
        members: &[Member],
        pairs: &[Pair],
        out: &[Place],
    ) -> Result<(Vec<ListFile>, u64)> {
        let (kept, ids, derived) = self.kept(members, out)?;
        let (pairs, clusters) =
            side_by_side("pairs", || self.pairs(pairs, &ids), || self.clusters(members, &ids))?;
        Ok((vec![kept, clusters, pairs], derived))
    }

    /// Ids are read here, and written on a thread a few steps behind.
    fn kept(&self, members: &[Member], out: &[Place]) -> Result<(ListFile, Ids, u64)> {
        let mut table = Table::create(
            self,
            "kept",
            &[("id", DataType::Utf8), ("shard", DataType::Utf8), ("row", DataType::Int64)],
        )?;
        let (steps, come) = std::sync::mpsc::sync_channel::<Step<'_>>(2);
        let write = move || {
            come.into_iter().try_for_each(|step| table.kept(step))?;
            table.finish()
        };
        // Moved in: the writer ends once nobody gives any more.
        let read = move || self.ids(members, out, |step| steps.send(step).is_ok());
        let ((stored, rows), (ids, derived)) = side_by_side("kept", write, read)?;
        Ok((ListFile::list("kept.parquet", stored, rows), ids, derived))
    }

    /// Reads ids: gives those of rows that stay, and gives back those of rows in clusters and how many have none. `give` says
    /// whether more is wanted.
    fn ids<'a>(
        &'a self,
        members: &[Member],
        out: &[Place],
        give: impl Fn(Step<'a>) -> bool,
    ) -> Result<(Ids, u64)> {
        let mut ids = Ids::of(members);
        let (mut names, mut rows, mut derived) = (Vec::new(), Vec::new(), 0);
        let mut out = out.iter().copied().peekable();
        let mut wanted = 0;
        for (at, (shard, survey)) in self.shards.iter().zip(self.surveys).enumerate() {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            for_each_id(shard, survey, self.open, self.columns, &mut |row, id| {
                let place = Place::of_row(number, row);
                let goes = out.next_if(|next| *next == place).is_some();
                let clustered = ids.places.get(wanted) == Some(&place);
                if goes && !clustered {
                    return Ok(());
                }
                let own = !id.is_empty();
                let id = if own { id.to_owned() } else { derived_id(&shard.key, row) };
                derived += u64::from(!own);
                if clustered {
                    ids.push(&id);
                    wanted += 1;
                }
                if !goes {
                    names.push(id);
                    rows.push(i64::from(row));
                }
                if names.len() == ROWS_PER_STEP {
                    let step = (shard.key.as_str(), std::mem::take(&mut names), std::mem::take(&mut rows));
                    give(step).then_some(()).ok_or_else(unwanted)?;
                }
                Ok(())
            })?;
            let step = (shard.key.as_str(), std::mem::take(&mut names), std::mem::take(&mut rows));
            give(step).then_some(()).ok_or_else(unwanted)?;
        }
        if ids.starts.len() != ids.places.len() + 1 || out.next().is_some() {
            return Err(Error::bug("a listed row was not met again"));
        }
        Ok((ids, derived))
    }

    fn clusters(&self, members: &[Member], ids: &Ids) -> Result<ListFile> {
        let columns = [
            ("id", DataType::Utf8),
            ("shard", DataType::Utf8),
            ("row", DataType::Int64),
            ("cluster", DataType::Utf8),
            ("survivor", DataType::Boolean),
            ("size", DataType::Int64),
        ];
        let mut table = Table::create(self, "clusters", &columns)?;
        for step in members.chunks(ROWS_PER_STEP) {
            let of = |member: &Member| self.derived(member.survivor);
            let places = step.iter().map(|member| member.place);
            table.write(vec![
                ids.column(places.clone())?,
                self.shard_column(places.clone()),
                row_column(places),
                Arc::new(StringArray::from_iter_values(step.iter().map(of))),
                Arc::new(
                    step.iter().map(|member| Some(member.place == member.survivor)).collect::<BooleanArray>(),
                ),
                Arc::new(Int64Array::from_iter_values(step.iter().map(|member| i64::from(member.size)))),
            ])?;
        }
        let (stored, rows) = table.finish()?;
        Ok(ListFile::list("clusters.parquet", stored, rows))
    }

    fn pairs(&self, pairs: &[Pair], ids: &Ids) -> Result<ListFile> {
        let columns = [
            ("id", DataType::Utf8),
            ("shard", DataType::Utf8),
            ("row", DataType::Int64),
            ("other_id", DataType::Utf8),
            ("other_shard", DataType::Utf8),
            ("other_row", DataType::Int64),
            ("jaccard", DataType::Float64),
        ];
        let mut table = Table::create(self, "pairs", &columns)?;
        for step in pairs.chunks(ROWS_PER_STEP) {
            let (ones, others) = (step.iter().map(|pair| pair.one), step.iter().map(|pair| pair.other));
            let jaccard = step.iter().map(|pair| pair.resemblance as f64 / 1e6);
            table.write(vec![
                ids.column(ones.clone())?,
                self.shard_column(ones.clone()),
                row_column(ones),
                ids.column(others.clone())?,
                self.shard_column(others.clone()),
                row_column(others),
                Arc::new(Float64Array::from_iter_values(jaccard)),
            ])?;
        }
        let (stored, rows) = table.finish()?;
        Ok(ListFile::list("pairs.parquet", stored, rows))
    }

    /// Names what the kept rows of a shard are made from.
    pub(super) fn made_from(&self, at: usize, gone: &[u32]) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(&self.fingerprint.to_le_bytes());
        if let Some(entry) = self.entries.get(at) {
            hasher.update(&entry.digest.to_le_bytes());
            hasher.update(entry.key.as_bytes());
        }
        gone.iter().for_each(|row| hasher.update(&row.to_le_bytes()));
        hasher.digest128()
    }

    fn key(&self, place: Place) -> &str {
        self.shards.get(place.shard as usize).map_or("", |shard| &shard.key)
    }

    fn derived(&self, place: Place) -> String {
        derived_id(self.key(place), place.row)
    }

    fn shard_column(&self, places: impl Iterator<Item = Place>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(places.map(|place| self.key(place))))
    }
}

/// The id of a row that has none of its own, and the name of the cluster that it survives: 32 hex digits, a hash of
/// shard key and row.
fn derived_id(shard_key: &str, row: u32) -> String {
    hex(fragment_id(shard_key, row, &[]))
}

fn row_column(places: impl Iterator<Item = Place>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(places.map(|place| i64::from(place.row))))
}

/// The ids of the rows in clusters, end to end.
struct Ids {
    places: Vec<Place>,
    text: String,
    starts: Vec<usize>,
}

impl Ids {
    fn of(members: &[Member]) -> Self {
        let mut places: Vec<Place> = members.iter().map(|member| member.place).collect();
        places.sort_unstable();
        Self { starts: vec![0], text: String::new(), places }
    }

    fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.starts.push(self.text.len());
    }

    fn column(&self, places: impl Iterator<Item = Place>) -> Result<ArrayRef> {
        let id = |place: Place| {
            let at = self.places.binary_search(&place).ok()?;
            self.text.get(*self.starts.get(at)?..*self.starts.get(at + 1)?)
        };
        let ids: Option<Vec<&str>> = places.map(id).collect();
        let ids = ids.ok_or_else(|| Error::bug("a listed row is in no cluster"))?;
        Ok(Arc::new(StringArray::from_iter_values(ids)))
    }
}

/// A list on its way.
struct Table {
    schema: SchemaRef,
    writer: ArrowWriter<ContentFile>,
    group: usize,
    rows: u64,
}

impl Table {
    fn create(lists: &Lists<'_>, name: &str, columns: &[(&str, DataType)]) -> Result<Self> {
        let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let file = ContentFile::create(&lists.store.join(KeepList::STORE), name)?;
        let mut written = properties(lists.fingerprint)?.into_builder();
        for (name, kind) in columns {
            let path = ColumnPath::from(*name);
            written = match kind {
                // Rows ascend, or nearly so: differences are small, and no value comes again.
                DataType::Int64 => written
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                _ if *name == "other_id" => written.set_column_dictionary_enabled(path, false),
                _ => written,
            };
        }
        let options =
            ArrowWriterOptions::new().with_properties(written.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)
            .map_err(|cause| Error::bug("list not started").because(cause))?;
        Ok(Self { schema, writer, group: 0, rows: 0 })
    }

    fn kept(&mut self, (shard_key, ids, rows): Step<'_>) -> Result<()> {
        let shards = StringArray::from_iter_values(ids.iter().map(|_| shard_key));
        self.write(vec![
            Arc::new(StringArray::from_iter_values(ids)),
            Arc::new(shards),
            Arc::new(Int64Array::from_iter_values(rows)),
        ])
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|cause| Error::bug("list does not fit its columns").because(cause))?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.group += batch.num_rows();
        self.writer.write(&batch).map_err(|cause| failed(self.writer.inner().temporary(), cause))?;
        if self.group >= ROWS_PER_GROUP {
            self.group = 0;
            self.writer.flush().map_err(|cause| failed(self.writer.inner().temporary(), cause))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(Stored, u64)> {
        let path = self.writer.inner().temporary().to_owned();
        let file = self.writer.into_inner().map_err(|cause| failed(&path, cause))?;
        Ok((file.finish()?, self.rows))
    }
}
