//! Made documents in several scripts, their windows as plain sets, and Parquet written and read without the library.

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

pub(crate) const SCRIPTS: [&str; 5] = ["latin", "cyrillic", "devanagari", "han", "thai"];

pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) script: &'static str,
    units: Vec<String>,
    text: String,
}

impl Document {
    /// The distinct windows of five words, or characters where there are no spaces.
    pub(crate) fn windows(&self) -> BTreeSet<Vec<String>> {
        self.units.windows(5).map(<[String]>::to_vec).collect()
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn unit(dice: &mut Dice, script: &str) -> String {
    let letters: Vec<char> = match script {
        "latin" => "abcdefghijklmnoáçãé".chars().collect(),
        "cyrillic" => "абвгдежзиклмнопрс".chars().collect(),
        "devanagari" => "कखगचजटडतदनपबमयरलवसह".chars().collect(),
        "han" => ('\u{4e00}'..'\u{5400}').collect(),
        _ => ('\u{e01}'..'\u{e2e}').collect(),
    };
    let length = if dense(script) { 1 } else { 2 + dice.roll(6) };
    (0..length).map(|_| letters[dice.roll(letters.len())]).collect()
}

fn dense(script: &str) -> bool {
    script == "han" || script == "thai"
}

/// Documents of which a third are copies: equal, equal but for case and space, or with one unit of 200 and more changed.
pub(crate) fn documents(seed: u64, many: usize) -> Vec<Document> {
    let mut dice = Dice(seed | 1);
    let mut made: Vec<Document> = Vec::new();
    for number in 0..many {
        let copies = number > 8 && dice.roll(3) == 0;
        let (script, mut units, kind) = if copies {
            let of = &made[dice.roll(number)];
            (of.script, of.units.clone(), dice.roll(3))
        } else {
            let script = SCRIPTS[dice.roll(SCRIPTS.len())];
            let length = 200 + dice.roll(100);
            (script, (0..length).map(|_| unit(&mut dice, script)).collect(), 0)
        };
        if kind == 2 && made.iter().filter(|other| other.units.len() == units.len()).count() < 6 {
            let at = dice.roll(units.len());
            units[at] = unit(&mut dice, script);
        }
        let text = units.join(if dense(script) { "" } else { " " });
        let text = if kind == 1 { format!("  {}\n", text.to_uppercase().replace(' ', " \t ")) } else { text };
        made.push(Document { id: format!("<{number}>"), script, units, text });
    }
    made
}

/// The name of the shard of a document among `parts`.
pub(crate) fn shard_of(number: usize, many: usize, parts: usize) -> String {
    format!("{}.parquet", number / many.div_ceil(parts))
}

/// Writes documents to `parts` shards with columns of many kinds, two row groups and more each.
pub(crate) fn write(folder: &Path, documents: &[Document], parts: usize) {
    fs::create_dir_all(folder).unwrap();
    for (part, some) in documents.chunks(documents.len().div_ceil(parts)).enumerate() {
        let strings = |cell: &dyn Fn(&Document) -> Option<String>| -> ArrayRef {
            Arc::new(some.iter().map(cell).collect::<StringArray>())
        };
        let tags =
            some.iter().map(|document| Some(vec![Some(1), None, i32::try_from(document.units.len()).ok()]));
        let columns: [(&str, ArrayRef); 5] = [
            ("url", strings(&|document| (document.units.len() % 3 > 0).then(|| format!("u{}", document.id)))),
            ("text", strings(&|document| Some(document.text.clone()))),
            ("id", strings(&|document| Some(document.id.clone()))),
            (
                "length",
                Arc::new(
                    some.iter()
                        .map(|document| i64::try_from(document.text.len()).ok())
                        .collect::<Int64Array>(),
                ),
            ),
            ("tags", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(tags))),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
                .unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(7))
            .set_key_value_metadata(Some(vec![KeyValue::new("made".to_owned(), "by a test".to_owned())]))
            .build();
        let file = File::create(folder.join(format!("{part}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

/// Four rows without ids: a text, none, one that is not UTF-8, the first again.
pub(crate) fn odd(path: &Path) {
    let text: &[u8] = "Uma maré sobe e desce duas vezes por dia.".as_bytes();
    let texts: ArrayRef =
        Arc::new(BinaryArray::from(vec![Some(text), None, Some(b"\xff\xfe".as_slice()), Some(text)]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Every row of a file, each value as text.
pub(crate) fn listed(path: &Path) -> Vec<BTreeMap<String, String>> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader.map(Result::unwrap) {
        let schema = batch.schema();
        for at in 0..batch.num_rows() {
            let cell = |(field, column): (&Arc<arrow::datatypes::Field>, &ArrayRef)| {
                let value = if column.is_null(at) {
                    "(null)".to_owned()
                } else {
                    array_value_to_string(column, at).unwrap()
                };
                (field.name().clone(), value)
            };
            rows.push(schema.fields().iter().zip(batch.columns()).map(cell).collect());
        }
    }
    rows
}

/// The schema as Arrow sees it, as Parquet says it, the facts of the footer, and the compression.
pub(crate) fn shape(path: &Path) -> (String, String, String, String) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let meta = builder.metadata().file_metadata();
    (
        format!("{:?}", builder.schema()),
        format!("{:?}", meta.schema_descr().root_schema()),
        format!("{:?}", meta.key_value_metadata()),
        format!("{:?}", builder.metadata().row_group(0).column(1).compression()),
    )
}

/// Row groups of a shard.
pub(crate) fn row_groups(path: &Path) -> usize {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    builder.metadata().num_row_groups()
}

/// Row groups that a run which died has written down.
pub(crate) fn left(output: &Path) -> usize {
    let artefacts = output.join("state/artefacts");
    let folders = fs::read_dir(artefacts).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.extension().is_some_and(|ending| ending == "pieces"));
    folders
        .map(|folder| {
            fs::read_dir(folder)
                .unwrap()
                .filter(|entry| {
                    let name = entry.as_ref().unwrap().file_name();
                    name.to_str().is_some_and(|name| name.parse::<u32>().is_ok())
                })
                .count()
        })
        .sum()
}
