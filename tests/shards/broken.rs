//! Broken files: the error names the shard before work starts, or each lost row is a note.

use crate::files::{Kind, Layout, Memory, break_page, parquet, texts};
use crate::flow::{Read, read_all};
use isogloss::model::{Lang, Reason};
use isogloss::source::list::list;
use isogloss::source::shard::survey;
use isogloss::source::{ColumnSettings, Files, SourceSettings};
use isogloss::{ErrorKind, Result};
use parquet::file::properties::WriterVersion;
use proptest::prelude::*;

/// 120 rows in row groups of 40, pages of 10.
fn whole(layout: Layout) -> Vec<u8> {
    let rows: Vec<Option<String>> =
        (0..120).map(|i| Some(format!("row {i} {}", "abcdefg".repeat(i % 5 + 3)))).collect();
    let langs = vec![Some("por_Latn"); 120];
    let layout = Layout { group_rows: 40, page_rows: 10, ..layout };
    parquet(vec![("text", texts(Kind::Utf8, &rows)), ("language", texts(Kind::Utf8, &langs))], layout)
}

fn read_one(file: Vec<u8>, batch_rows: u32) -> Result<Read> {
    let memory = Memory::new(vec![file]);
    let shards = memory.shards();
    read_all(memory, shards, &SourceSettings { batch_rows, ..SourceSettings::default() }, 2)
}

/// The rows that are lost.
fn lost(read: &Read) -> Vec<u32> {
    let unreadable = |reason| assert_eq!(reason, Reason::Unreadable);
    read.notes.iter().inspect(|note| unreadable(note.verdict.reason)).map(|note| note.place.row).collect()
}

#[test]
fn a_page_that_does_not_decode_loses_the_rest_of_its_row_group() {
    let (old, new) = (WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0);
    for (version, dictionary) in [(old, true), (old, false), (new, false)] {
        for column in ["text", "language"] {
            let mut file = whole(Layout { dictionary, version, ..Layout::default() });
            assert_eq!(break_page(&mut file, 1, column, 23), 20);
            for batch_rows in [1, 7, 16, 64] {
                let read = read_one(file.clone(), batch_rows).unwrap();
                let case = format!("{version:?} {dictionary} {column} {batch_rows}");
                assert_eq!(lost(&read), (60..80).collect::<Vec<u32>>(), "{case}");
                assert_eq!(read.rows.len(), 100, "{case}");
                assert!(read.rows.iter().all(|(_, row)| row.lang == Lang::from_tag("por_Latn").unwrap()));
            }
        }
    }
}

#[test]
fn what_a_page_loses_does_not_depend_on_batches() {
    // Without compression some rows of the page may still decode: which ones is the file's affair alone.
    let mut file = whole(Layout { zstd: false, dictionary: false, ..Layout::default() });
    break_page(&mut file, 0, "text", 35);
    let one = read_one(file.clone(), 1).unwrap();
    assert!(!one.notes.is_empty() && lost(&one).iter().all(|row| (30..40).contains(row)), "{:?}", one.notes);
    for batch_rows in [2, 7, 31, 64] {
        let other = read_one(file.clone(), batch_rows).unwrap();
        assert_eq!((lost(&other), other.texts()), (lost(&one), one.texts()));
    }
}

#[test]
fn text_that_is_not_utf8_is_its_rows_fault_alone() {
    // Declared as text, written without compression, and broken in place.
    let mut file = whole(Layout { zstd: false, dictionary: false, ..Layout::default() });
    let at = file.windows(7).position(|bytes| bytes == b"row 55 ").unwrap();
    file[at] = 0xff;
    let read = read_one(file, 64).unwrap();
    let [note] = read.notes.as_slice() else { panic!("{:?}", read.notes) };
    assert_eq!((note.place.row, note.verdict.reason), (55, Reason::NotUtf8));
    assert_eq!((read.rows.len(), note.lang.tag()), (119, "por_Latn"));
}

#[test]
fn a_malformed_shard_is_named_before_any_work() {
    let file = whole(Layout::default());
    let mut lying = file.clone();
    let length = lying.len();
    lying[length - 8..length - 4].fill(0x7f);
    let cases = [
        ("empty", Vec::new()),
        ("short", b"PAR1".to_vec()),
        ("text", b"id,text\n1,a\n".repeat(40)),
        ("headless", file[..length / 2].to_vec()),
        ("tailless", file[..length - 1].to_vec()),
        ("lying", lying),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in cases {
        let path = folder.path().join(format!("{name}.parquet"));
        std::fs::write(&path, bytes).unwrap();
        let shards = list(&[path.display().to_string()]).unwrap();
        let error = survey(&shards, &Files, &ColumnSettings::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corpus, "{name}");
        let told = error.to_string();
        assert!(
            told.starts_with("shard malformed: path=") && told.contains(&format!("{name}.parquet")),
            "{told}"
        );
        assert!(told.contains("remedy="), "{told}");
    }
}

#[test]
fn a_disk_that_fails_is_not_the_shards_fault() {
    let file = whole(Layout::default());
    let footer = file.len() as u64 - 20;
    for dead in [footer..footer + 1, 30..40, 0..u64::MAX] {
        let mut memory = Memory::new(vec![file.clone(), file.clone()]);
        memory.dead = Some((1, dead.clone()));
        let shards = memory.shards();
        let error = read_all(memory, shards, &SourceSettings::default(), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{dead:?}: {error}");
        assert!(error.to_string().contains("s/001.parquet"), "{error}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is on fire");
    }
    let absent = Memory::new(vec![file]).shards();
    assert_eq!(
        survey(&absent, &Files, &ColumnSettings::default()).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}

#[test]
fn a_shard_that_grew_since_it_was_listed_ends_the_run() {
    let memory = Memory::new(vec![whole(Layout::default())]);
    let mut shards = memory.shards();
    shards[0].bytes -= 1;
    let error = read_all(memory, shards, &SourceSettings::default(), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corpus);
    assert!(error.to_string().starts_with("shard changed while it was read: shard=s/000.parquet"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever bytes are changed: an error of the corpus, or every row of the footer is read or noted once
    /// (which `read_all` asserts), and the same for any batch size.
    #[test]
    fn damage_anywhere_is_told_and_never_hangs(
        damage in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..4),
        zstd in any::<bool>(),
        dictionary in any::<bool>(),
        batch_rows in 1..50_u32,
    ) {
        let mut file = whole(Layout { dictionary, zstd, ..Layout::default() });
        for (at, byte) in damage {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the file")]
            let at = (at * file.len() as f64) as usize;
            file[at] = byte;
        }
        match (read_one(file.clone(), batch_rows), read_one(file, 1)) {
            (Ok(read), Ok(other)) => {
                prop_assert_eq!(read.texts(), other.texts());
                prop_assert_eq!(read.notes, other.notes);
            }
            (Err(error), Err(other)) => {
                prop_assert_eq!(error.kind(), ErrorKind::Corpus, "{}", error);
                prop_assert_eq!(error.to_string(), other.to_string());
            }
            (one, other) => prop_assert!(false, "{:?} {:?}", one.err(), other.err()),
        }
    }
}
