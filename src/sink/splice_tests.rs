//! A spliced part is a fresh one, to the byte; and both are what the plain writer of the library writes.

use super::*;
use crate::model::{Lineage, Reason, Span};
use crate::sink::columns::{COLUMNS, batch_of, properties};
use crate::sink::splice::Splice;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

const BLOCK: u32 = 4;

/// What a row of the source came to: its lang, its licence, whether it was kept, and what it says.
type Came = (usize, u8, bool, u8);

fn lang(number: usize) -> Lang {
    Lang::all().nth(number + 1).expect("a lang")
}

fn row(number: u32, (tongue, license, kept, says): Came) -> Exchange {
    let text = format!("{says} says row {number}, ").repeat(usize::from(says) + 1);
    Exchange {
        id: u128::from(number),
        place: Place { shard: 0, row: number, start: 0 },
        lang: lang(tongue),
        content: u128::from(says),
        instruction: text.clone(),
        response: text.to_uppercase(),
        score: f64::from(says),
        spans: (0..says % 3).map(|i| Span { start: u32::from(i), end: number }).collect(),
        lineage: Lineage { license: format!("licence {license}"), ..Lineage::default() },
        outcome: (!kept).then(|| Verdict::dropped(Stage::Localize, Reason::DigitsDiffer, 0.0)),
        ..Exchange::default()
    }
}

fn context(store: &Path) -> PartContext {
    let shards = vec![("shard".to_owned(), 7)];
    PartContext { shards, store: store.to_owned(), block_rows: BLOCK, ..PartContext::default() }
}

/// The parts of the rows in one bundle.
fn written(ctx: &PartContext, rows: Vec<Exchange>) -> Vec<Part> {
    let mut open = Open::new(ctx, 0).expect("known");
    let bundle = Bundle { shard: 0, serial: 0, last: true, rows, weight: Weight::default() };
    open.accept(ctx, bundle).expect("written").parts.expect("the last bundle")
}

/// The bytes that the library's own writer makes of the kept rows of a lang.
fn plainly(rows: &[Exchange], of: Lang) -> Vec<u8> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(0).expect("valid"))
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), COLUMNS.clone(), options).expect("made");
    let kept: Vec<Exchange> =
        rows.iter().filter(|row| row.lang == of && row.outcome.is_none()).cloned().collect();
    for block in kept.chunk_by(|a, b| a.place.row / BLOCK == b.place.row / BLOCK) {
        writer.write(&batch_of(block, "shard", &Versions::default()).expect("fits")).expect("written");
        writer.flush().expect("written");
    }
    writer.into_inner().expect("whole")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_spliced_part_is_a_fresh_one(
        before in prop::collection::vec(prop::option::weighted(0.8, (0..2_usize, 0..40_u8, any::<bool>(), 0..9_u8)), 8..48),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of((0..3_usize, 0..40_u8, any::<bool>(), 0..9_u8))), 1..6),
    ) {
        let mut after = before.clone();
        for (at, came) in changes {
            after[at.index(before.len())] = came;
        }
        let rows = |of: &[Option<Came>]| -> Vec<Exchange> {
            (0..).zip(of).filter_map(|(number, came)| Some(row(number, (*came)?))).collect()
        };
        let mut changed: BTreeSet<u32> =
            (0..).zip(before.iter().zip(&after)).filter(|(_, (a, b))| a != b).map(|(row, _)| row / BLOCK).collect();
        let new = rows(&after);
        let (Some(last), false) = (new.last(), changed.is_empty()) else { return Ok(()) };
        if !new.iter().any(|row| changed.contains(&(row.place.row / BLOCK))) {
            changed.insert(last.place.row / BLOCK);
        }

        let folder = tempfile::tempdir().expect("a folder");
        let (old, fresh) = (context(&folder.path().join("old")), context(&folder.path().join("fresh")));
        let parts = written(&old, rows(&before));
        let wanted = written(&fresh, new.clone());
        let mut langs = BTreeMap::new();
        for part in parts.iter().filter(|part| new.iter().any(|row| row.lang == part.lang)) {
            let stays = Stays::of(part, &old.store, &changed, BLOCK).expect("as written");
            langs.insert(part.lang, stays);
        }
        old.splices.put(0, Splice { selected: wanted[0].selected, langs });
        let some: Vec<Exchange> =
            new.iter().filter(|row| changed.contains(&(row.place.row / BLOCK))).cloned().collect();
        let spliced = written(&old, some);
        prop_assert_eq!(&spliced, &wanted);
        for part in spliced.iter().filter(|part| part.rows > 0) {
            let bytes = std::fs::read(old.store.join(part.lang.tag()).join(&part.name)).expect("there");
            prop_assert!(bytes == plainly(&new, part.lang), "bytes of {}", part.lang.tag());
        }
    }
}

#[test]
fn a_part_that_is_not_what_its_manifest_says_is_not_copied_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let ctx = context(folder.path());
    let rows: Vec<Exchange> = (0..12).map(|number| row(number, (0, 0, true, 1))).collect();
    let [part] = &written(&ctx, rows)[..] else { panic!("one lang") };
    let of = |part: &Part, block_rows| Stays::of(part, &ctx.store, &BTreeSet::from([1]), block_rows);
    let Some(Stays::Groups { groups, .. }) = of(part, BLOCK) else { panic!("as written") };
    assert_eq!(Vec::from(groups), [(0, 0), (2, 2)]);
    assert!(of(part, 3).is_none(), "other blocks");
    assert!(of(&Part { hash: part.hash ^ 1, ..part.clone() }, BLOCK).is_none(), "another file");
    let path = ctx.store.join(part.lang.tag()).join(&part.name);
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    assert!(of(part, BLOCK).is_none(), "a flipped bit");
}
