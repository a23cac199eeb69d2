//! The second reading: exactly the wanted spans, in bundles that credits bound.

use crate::files::{Kind, Layout, Memory, break_page, parquet, texts};
use crate::flow::{Reread, read_all, reread_all, wants};
use arrow::array::Int64Array;
use isogloss::ErrorKind;
use isogloss::model::{Bundle, Epoch, Exchange, Lang, Place, Reason, Span, Stage, fragment_id};
use isogloss::source::SourceSettings;
use isogloss::stage::reread::{Route, Wanted};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file of these rows, with integer ids, addresses and a licence now and then.
fn file(rows: &[Option<String>], group_rows: usize) -> Vec<u8> {
    let many = i64::try_from(rows.len()).unwrap();
    let urls: Vec<Option<String>> =
        (0..many).map(|i| (i % 3 > 0).then(|| format!("https://example.org/{i}"))).collect();
    let licenses: Vec<Option<&str>> = (0..many).map(|i| (i % 2 > 0).then_some("CC0-1.0")).collect();
    parquet(
        vec![
            ("id", Arc::new(Int64Array::from_iter_values((0..many).map(|i| i - 1)))),
            ("text", texts(Kind::LargeUtf8, rows)),
            ("url", texts(Kind::Utf8, &urls)),
            ("license", texts(Kind::Dictionary, &licenses)),
        ],
        Layout { group_rows, page_rows: 10, ..Layout::default() },
    )
}

fn everything(files: &[Vec<u8>]) -> Vec<(Wanted, String)> {
    let memory = Memory::new(files.to_vec());
    let shards = memory.shards();
    let read = read_all(memory, shards, &SourceSettings::default(), 1).unwrap();
    wants(&read.rows, Lang::from_tag("por_Latn").unwrap())
}

fn again(
    files: &[Vec<u8>],
    wanted: Vec<(Epoch, Wanted)>,
    route: Route,
    limits: (usize, u64),
    workers: usize,
) -> Reread {
    let memory = Memory::new(files.to_vec());
    let shards = memory.shards();
    reread_all(memory, shards, wanted, route, limits, workers).unwrap()
}

/// All rows of a run by place; checks the shape of its bundles on the way.
fn rows_of(reread: Reread, limits: (usize, u64), route: Route) -> BTreeMap<(Epoch, Place), Exchange> {
    let mut rows = BTreeMap::new();
    let mut owners = BTreeSet::new();
    for (bundles, peak) in reread {
        let most = bundles.iter().map(|(_, bundle)| bundle.weight.bytes).max().unwrap_or(0);
        assert!(peak <= 2 * limits.1 + most, "{peak} in flight, {most} in a bundle");
        let mut last: Option<(Epoch, &Bundle)> = None;
        for (epoch, bundle) in &bundles {
            let first = last.is_none_or(|(e, b)| (e, b.shard) != (*epoch, bundle.shard));
            if first {
                assert!(last.is_none_or(|(e, b)| b.last && (e, b.shard) < (*epoch, bundle.shard)));
                assert!(
                    owners.insert((*epoch, bundle.shard)) || route == Route::Block,
                    "a shard on two workers"
                );
            }
            let serial = if first { 0 } else { last.unwrap().1.serial + 1 };
            assert_eq!((bundle.serial, first || !last.unwrap().1.last), (serial, true));
            let bytes = bundle.rows.iter().map(|row| row.response.len() as u64).sum::<u64>();
            assert_eq!((bundle.weight.rows as usize, bundle.weight.bytes), (bundle.rows.len(), bytes));
            assert!((1..=limits.0).contains(&bundle.rows.len()));
            assert!(bytes <= limits.1 || bundle.rows.len() == 1);
            assert!(bundle.rows.is_sorted_by(|a, b| a.place < b.place));
            assert!(first || last.unwrap().1.rows.last().unwrap().place < bundle.rows[0].place);
            assert!(bundle.rows.iter().all(|row| row.place.shard == bundle.shard));
            last = Some((*epoch, bundle));
        }
        assert!(last.is_none_or(|(_, bundle)| bundle.last));
        for (epoch, bundle) in bundles {
            for row in bundle.rows {
                assert!(rows.insert((epoch, row.place), row).is_none(), "a row was read twice");
            }
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_wanted_fragment_comes_back_as_it_was(
        shards in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, "([a-zé字\t]{0,9}\n){0,3}[^\n]{0,20}"), 1..50), 1..4),
        group_rows in 1..30_usize,
        keep in 1..4_usize,
        epochs in 1..4_u64,
        limits in (1..9_usize, 1..90_u64),
        shard_route in any::<bool>(),
        workers in 1..=3_usize,
    ) {
        let files: Vec<Vec<u8>> = shards.iter().map(|rows| file(rows, group_rows)).collect();
        let route = if shard_route { Route::Shard } else { Route::Block };
        let wanted: Vec<(Epoch, Wanted, String)> = everything(&files).into_iter().step_by(keep).zip((0..epochs).cycle())
            .map(|((wanted, text), epoch)| (epoch, wanted, text)).collect();
        // Twice, from different workers: it still comes once.
        let asked = wanted.iter().chain(&wanted).map(|(epoch, wanted, _)| (*epoch, *wanted)).rev().collect();
        let rows = rows_of(again(&files, asked, route, limits, workers), limits, route);
        prop_assert_eq!(rows.len(), wanted.len());
        for (epoch, wanted, text) in wanted {
            let row = &rows[&(epoch, wanted.place)];
            prop_assert_eq!(&row.response, &text);
            prop_assert_eq!((row.lang, row.content, row.cell, &row.outcome), (wanted.lang, wanted.content, wanted.cell, &None));
            let key = format!("s/{:03}.parquet", wanted.place.shard);
            prop_assert_eq!(row.id, fragment_id(&key, wanted.place.row, &row.spans));
            let source = shards[wanted.place.shard as usize][wanted.place.row as usize].as_deref().unwrap();
            let slice = |span: &Span| &source[span.start as usize..span.end as usize];
            prop_assert_eq!(row.spans.iter().map(slice).collect::<String>(), text);
            let n = wanted.place.row;
            prop_assert_eq!(&row.lineage.source_id, &(i64::from(n) - 1).to_string());
            prop_assert_eq!(&row.lineage.url, &if n % 3 > 0 { format!("https://example.org/{n}") } else { String::new() });
            prop_assert_eq!(&row.lineage.license, if n % 2 > 0 { "CC0-1.0" } else { "" });
        }
    }
}

fn plain_rows(many: usize) -> Vec<Option<String>> {
    (0..many).map(|i| Some(format!("line of row {i}\nand another"))).collect()
}

#[test]
fn lineage_that_does_not_decode_is_a_fault_of_its_rows_alone() {
    let mut broken = file(&plain_rows(100), 50);
    assert_eq!(break_page(&mut broken, 1, "url", 24), 20);
    let all = everything(std::slice::from_ref(&broken));
    for keep in [1, 3, 7] {
        let asked: Vec<_> = all.iter().step_by(keep).map(|(wanted, _)| (0, *wanted)).collect();
        let many = asked.len();
        let rows = rows_of(
            again(std::slice::from_ref(&broken), asked, Route::Shard, (16, 4096), 2),
            (16, 4096),
            Route::Shard,
        );
        assert_eq!(rows.len(), many);
        for row in rows.values() {
            let faulted = (70..80).contains(&row.place.row);
            let reason = row.outcome.map(|verdict| (verdict.stage, verdict.reason));
            assert_eq!(reason, faulted.then_some((Stage::Read, Reason::Unreadable)), "row {}", row.place.row);
            assert!(!row.response.is_empty());
            assert_eq!(row.lineage.source_id.is_empty(), faulted);
        }
    }
}

#[test]
fn a_shard_that_changed_ends_the_run() {
    let first = file(&plain_rows(60), 20);
    let all = everything(std::slice::from_ref(&first));
    let asked: Vec<_> = all.iter().map(|(wanted, _)| (0, *wanted)).collect();
    let told = |asked: Vec<(Epoch, Wanted)>, file: Vec<u8>| {
        let memory = Memory::new(vec![file]);
        let shards = memory.shards();
        let error = reread_all(memory, shards, asked, Route::Block, (8, 1000), 2).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corpus, "{error}");
        assert!(
            error.to_string().starts_with("shard changed while it was read: shard=s/000.parquet"),
            "{error}"
        );
        error.to_string()
    };
    // One character of one row; a row that is gone; a row that is null; a line that is gone; a broken page.
    let with = |row: usize, text: Option<&str>| {
        let mut rows = plain_rows(60);
        rows[row] = text.map(str::to_owned);
        file(&rows, 20)
    };
    assert!(
        told(asked.clone(), with(33, Some("line of row 3E\nand another")))
            .contains("row=33, how=fragment has another text")
    );
    assert!(told(asked.clone(), with(33, Some("line of row 33"))).contains("row=33, how=fragment not found"));
    assert!(told(asked.clone(), with(33, None)).contains("row=33, how=text is no text any more"));
    assert!(told(asked.clone(), file(&plain_rows(59), 20)).contains("row=59, how=rows end before"));
    let mut broken = first;
    break_page(&mut broken, 2, "text", 10);
    assert!(told(asked, broken).contains("row_group=2, row=50"));
}

#[test]
fn a_failing_disk_and_a_place_beyond_the_list_are_no_change_of_the_shard() {
    let whole = file(&plain_rows(60), 20);
    let all = everything(std::slice::from_ref(&whole));
    let asked: Vec<_> = all.iter().map(|(wanted, _)| (0, *wanted)).collect();
    let mut memory = Memory::new(vec![whole.clone()]);
    memory.dead = Some((0, 500..501));
    let shards = memory.shards();
    let error = reread_all(memory, shards, asked.clone(), Route::Shard, (8, 1000), 1).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let mut beyond = asked[0];
    beyond.1.place.shard = 7;
    let memory = Memory::new(vec![whole]);
    let shards = memory.shards();
    let error = reread_all(memory, shards, vec![beyond], Route::Shard, (8, 1000), 1).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug, "{error}");
}
