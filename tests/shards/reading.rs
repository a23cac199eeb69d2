//! The first reading: types, columns, limits, credits.

use crate::files::{KINDS, Kind, Layout, Memory, parquet, texts, written};
use crate::flow::read_all;
use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use isogloss::ErrorKind;
use isogloss::model::{Lang, Place, Reason, Row, Ruling, Stage};
use isogloss::source::shard::survey;
use isogloss::source::{ColumnSettings, Files, SourceSettings};
use parquet::file::properties::WriterVersion;
use proptest::prelude::*;
use std::sync::Arc;

const ODD: [Option<&str>; 8] = [
    Some("plain"),
    Some(""),
    None,
    Some("Ação, coração e pão"),
    Some("日本語のテキスト\u{0}と絵文字👩‍👩‍👧"),
    Some("አማርኛ"),
    Some("a\r\nb\u{feff}\u{202e}c"),
    Some("plain"),
];

#[test]
fn every_type_of_text_gives_the_same_rows() {
    for kind in KINDS {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for dictionary in [true, false] {
                let layout = Layout { group_rows: 3, page_rows: 2, dictionary, version, ..Layout::default() };
                let memory = Memory::new(vec![parquet(vec![("text", texts(kind, &ODD))], layout)]);
                let shards = memory.shards();
                let read = read_all(memory, shards, &SourceSettings::default(), 2).unwrap();
                let wanted: Vec<_> =
                    (0..).zip(ODD).filter_map(|(row, text)| text.map(|text| (0, row, text))).collect();
                assert_eq!(read.texts(), wanted, "{kind:?} {version:?} {dictionary}");
                assert!(read.rows.iter().all(|(_, row)| row.lang == Lang::UND));
                let [note] = read.notes.as_slice() else { panic!("{:?}", read.notes) };
                assert_eq!((note.place, note.verdict.reason), (Place::of_row(0, 2), Reason::NullText));
                assert_eq!((note.verdict.stage, note.verdict.ruling), (Stage::Read, Ruling::Faulted));
                assert_eq!(read.counted, (8, 1, 3));
            }
        }
    }
}

#[test]
fn the_languages_of_the_corpora_are_read() {
    let lang = |tag| Lang::from_tag(tag).unwrap();
    let text = || texts(Kind::Utf8, &[Some("a"), Some("b"), Some("c")]);
    let column = |values: [Option<&str>; 3]| texts(Kind::Dictionary, &values);
    let fineweb = parquet(
        vec![
            ("text", text()),
            ("id", column([Some("x"), None, Some("z")])),
            ("dump", text()),
            ("url", column([None; 3])),
            ("language", column([Some("por"), Some("por_Latn"), None])),
            ("language_score", Arc::new(Float64Array::from(vec![0.5; 3]))),
            ("language_script", column([Some("Latn"), None, Some("Latn")])),
        ],
        Layout::default(),
    );
    // OSCAR: a struct in a struct, with nulls at each level, beside lists that must be left alone.
    let strings = |values: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let nested = |fields: Vec<(&str, ArrayRef)>, nulls: Vec<bool>| -> ArrayRef {
        let fields = fields
            .into_iter()
            .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array));
        let (fields, arrays): (Vec<_>, Vec<_>) = fields.unzip();
        Arc::new(StructArray::new(fields.into(), arrays, Some(nulls.into())))
    };
    let identification =
        nested(vec![("label", strings([Some("pt"), Some("ja"), Some("ja")]))], vec![true, true, false]);
    let warnings =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let meta = nested(
        vec![("quality_warnings", Arc::new(warnings)), ("identification", identification)],
        vec![true, false, true],
    );
    let oscar = parquet(
        vec![("id", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("meta", meta), ("content", text())],
        Layout::default(),
    );
    let memory = Memory::new(vec![fineweb, oscar]);
    let shards = memory.shards();
    let read = read_all(memory, shards, &SourceSettings::default(), 1).unwrap();
    let langs: Vec<Lang> = read.rows.iter().map(|(_, row)| row.lang).collect();
    let por = lang("por_Latn");
    assert_eq!(langs, [por, por, Lang::UND, por, Lang::UND, Lang::UND]);
}

#[test]
fn text_in_a_struct_that_is_null_is_null() {
    // The text itself is required: only the struct around it says that it is missing.
    let field = Field::new("text", DataType::Utf8, false);
    let inner = texts(Kind::Utf8, &[Some("a"), Some("masked"), Some("")]);
    let body = StructArray::new(vec![field].into(), vec![inner], Some(vec![true, false, true].into()));
    let memory = Memory::new(vec![parquet(vec![("body", Arc::new(body))], Layout::default())]);
    let shards = memory.shards();
    let columns = ColumnSettings { text: Some("body.text".into()), ..ColumnSettings::default() };
    let read = read_all(memory, shards, &SourceSettings { columns, ..SourceSettings::default() }, 1).unwrap();
    assert_eq!(read.texts(), [(0, 0, "a"), (0, 2, "")]);
    assert_eq!(read.notes[0].verdict.reason, Reason::NullText);
}

#[test]
fn rows_over_the_limit_are_counted_with_their_bytes() {
    let long = "é".repeat(600);
    let rows = [Some("short"), Some(long.as_str()), Some("after")];
    let memory = Memory::new(vec![parquet(vec![("text", texts(Kind::Utf8, &rows))], Layout::default())]);
    let shards = memory.shards();
    let settings = SourceSettings { most_row_bytes: 1199, ..SourceSettings::default() };
    let read = read_all(memory, shards, &settings, 1).unwrap();
    assert_eq!(read.texts(), [(0, 0, "short"), (0, 2, "after")]);
    assert_eq!(
        (read.notes[0].verdict.reason, read.notes[0].verdict.value),
        (Reason::RowTooLong, 1_200_000_000)
    );
}

#[test]
fn one_huge_value_in_a_dictionary_does_not_make_a_huge_batch() {
    // The column is tiny on disk: 200 rows that name one value of 100 kB.
    let big = "x".repeat(100_000);
    let rows: Vec<Option<&str>> = vec![Some(big.as_str()); 200];
    let memory =
        Memory::new(vec![parquet(vec![("text", texts(Kind::Dictionary, &rows))], Layout::default())]);
    let shards = memory.shards();
    let settings =
        SourceSettings { batch_bytes: 250_000, in_flight_bytes: 600_000, ..SourceSettings::default() };
    let read = read_all(memory, shards, &settings, 1).unwrap();
    assert_eq!((read.rows.len(), read.batch.bytes), (200, 200_000));
    assert!(read.peak <= 600_000 + 200_000, "{}", read.peak);
}

#[test]
fn credits_bound_what_is_in_flight_whatever_the_shard() {
    let rows: Vec<Option<String>> = (0..6000).map(|i| Some("w".repeat(i % 901))).collect();
    let file = parquet(vec![("text", texts(Kind::Utf8, &rows))], Layout::default());
    for workers in 1..=3 {
        let memory = Memory::new(vec![file.clone(), file.clone()]);
        let shards = memory.shards();
        let settings = SourceSettings {
            batch_rows: 50,
            batch_bytes: 10_000,
            in_flight_rows: 200,
            in_flight_bytes: 30_000,
            ..SourceSettings::default()
        };
        let read = read_all(memory, shards, &settings, workers).unwrap();
        assert_eq!(read.rows.len(), 12_000);
        assert!(read.peak > 20_000, "the reader never ran ahead: {}", read.peak);
        assert!(read.peak <= 30_000 + 10_000, "{}", read.peak);
        assert_eq!(read.counted, (12_000, 0, 12));
    }
}

#[test]
fn a_folder_of_files_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("b.parquet", "two"), ("a.parquet", "one")] {
        let file = parquet(vec![("text", texts(Kind::Utf8, &[Some(text)]))], Layout::default());
        std::fs::write(folder.path().join(name), file).unwrap();
    }
    let shards = isogloss::source::list::list(&[folder.path().display().to_string()]).unwrap();
    let read = read_all(Files, shards, &SourceSettings::default(), 2).unwrap();
    assert_eq!(read.texts(), [(0, 0, "one"), (1, 0, "two")]);
}

#[test]
fn a_shard_without_rows_is_no_trouble() {
    let none: [Option<&str>; 0] = [];
    let batch = RecordBatch::try_from_iter([("text", texts(Kind::Utf8, &none))]).unwrap();
    let some = parquet(vec![("text", texts(Kind::Utf8, &[Some("a")]))], Layout::default());
    let memory = Memory::new(vec![written(&batch, Layout::default()), some]);
    let shards = memory.shards();
    assert_eq!(survey(&shards, &memory, &ColumnSettings::default()).unwrap()[0].row_groups, [0_u32; 0]);
    assert_eq!(read_all(memory, shards, &SourceSettings::default(), 2).unwrap().texts(), [(1, 0, "a")]);
}

#[test]
fn a_survey_tells_rows_groups_and_bytes_of_text() {
    let rows: Vec<Option<String>> = (0..25).map(|i| Some("ab".repeat(i))).collect();
    let numbers = Arc::new(UInt32Array::from_iter_values(0..25));
    let layout = Layout { group_rows: 10, ..Layout::default() };
    let memory = Memory::new(vec![parquet(vec![("n", numbers), ("text", texts(Kind::Utf8, &rows))], layout)]);
    let surveys = survey(&memory.shards(), &memory, &ColumnSettings::default()).unwrap();
    assert_eq!((surveys[0].rows, surveys[0].row_groups.as_slice()), (25, [10, 10, 5].as_slice()));
    assert_eq!((surveys[0].text_bytes, surveys[0].columns.text), (600, 1));
}

#[test]
fn a_column_that_is_no_text_is_refused_with_what_there_is() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let list = Field::new("item", DataType::Int32, true);
    let lists = ListArray::new_null(Arc::new(list), 1);
    let memory =
        Memory::new(vec![parquet(vec![("text", numbers), ("body", Arc::new(lists))], Layout::default())]);
    let error = survey(&memory.shards(), &memory, &ColumnSettings::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corpus);
    let told = error.to_string();
    assert!(
        told.contains("shard=s/000.parquet") && told.contains("text (INT64), body.list.item (INT32 list)"),
        "{told}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn limits_and_workers_do_not_change_the_rows(
        shards in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, "\\PC{0,40}"), 0..60), 1..4),
        kind in prop::sample::select(KINDS.to_vec()),
        group_rows in 1..30_usize,
        batch_rows in 1..20_u32,
        batch_bytes in 1..400_u32,
        in_flight in (1..60_u32, 1..900_u64),
        workers in 1..=3_usize,
    ) {
        let layout = Layout { group_rows, page_rows: 7, ..Layout::default() };
        let files = shards.iter().map(|rows| parquet(vec![("text", texts(kind, rows))], layout)).collect();
        let memory = Memory::new(files);
        let listed = memory.shards();
        let settings = SourceSettings {
            batch_rows, batch_bytes, in_flight_rows: in_flight.0, in_flight_bytes: in_flight.1, ..SourceSettings::default()
        };
        let read = read_all(memory, listed, &settings, workers).unwrap();
        let wanted: Vec<(u32, u32, &str)> = shards.iter().zip(0..).flat_map(|(rows, shard)| {
            rows.iter().zip(0..).filter_map(move |(text, row)| Some((shard, row, text.as_deref()?)))
        }).collect();
        prop_assert_eq!(read.texts(), wanted);
        let longest = shards.iter().flatten().flatten().map(|text| text.len() as u64).max().unwrap_or(0);
        let batch = longest.max(batch_bytes.into());
        prop_assert!(read.batch.rows <= batch_rows && read.batch.bytes <= batch);
        prop_assert!(read.peak < in_flight.1 + batch.max(1), "{} {:?} {}", read.peak, in_flight, batch);
        prop_assert!(read.rows.iter().all(|(_, row)| row.lineage == Row::default().lineage));
    }
}
