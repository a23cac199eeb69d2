//! Scripts: rows come and go over a few epochs. Id spaces are small, so rows collide all the time.

use super::replay::Changes;
use isogloss::model::{FragmentRow, Lang, Place, Scored, Signature, Signed};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// Toggles rows of a pool: in if it is out, out if it is in, also within one epoch.
pub(crate) fn toggles<D: Clone + std::fmt::Debug + 'static>(
    pool: impl Strategy<Value = Vec<D>>,
    most: usize,
) -> impl Strategy<Value = Vec<Changes<D>>> {
    (pool, prop::collection::vec(prop::collection::vec(any::<Index>(), 0..most), 1..6)).prop_map(
        |(pool, epochs)| {
            let mut inside = vec![false; pool.len()];
            let toggle = |index: Index| {
                let at = index.index(pool.len());
                inside[at] = !inside[at];
                (pool[at].clone(), if inside[at] { 1 } else { -1 })
            };
            let mut toggle = toggle;
            epochs.into_iter().map(|epoch| epoch.into_iter().map(&mut toggle).collect()).collect()
        },
    )
}

/// The same changes, without what comes and goes within an epoch.
pub(crate) fn net<D: Ord + Clone>(script: Vec<Changes<D>>) -> Vec<Changes<D>> {
    let sum = |changes: Changes<D>| {
        let mut sums: BTreeMap<D, isize> = BTreeMap::new();
        for (row, diff) in changes {
            *sums.entry(row).or_default() += diff;
        }
        sums.into_iter().filter(|(_, diff)| *diff != 0).collect()
    };
    script.into_iter().map(sum).collect()
}

/// A hash that stands for a small number: spread over 128 bits, not in the order of the numbers.
pub(crate) fn hash_of(small: u64) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&small.to_le_bytes())
}

/// Three langs.
pub(crate) fn lang_of(small: u8) -> Lang {
    let tags = ["por_Latn", "spa_Latn", "amh_Ethi"];
    tags.iter().cycle().nth(usize::from(small)).and_then(|tag| Lang::from_tag(tag)).expect("in the table")
}

/// Signatures whose bands and sketches collide by halves: few keys per band, few families of sketches.
pub(crate) fn signatures(keys: u64) -> impl Strategy<Value = Signature> {
    let bands = prop::collection::vec(0..keys, 3);
    let noise = prop::collection::vec((0..16usize, any::<u8>()), 0..6);
    (bands, 0..3u8, noise).prop_map(|(bands, family, noise)| {
        let mut sketch = vec![family * 17; 16];
        for (lane, byte) in noise {
            sketch[lane] = byte;
        }
        let bands = bands.into_iter().enumerate().map(|(band, key)| band as u64 * 100 + key).collect();
        Signature { bands, sketch }
    })
}

/// A row at a place of its own: the pool's order is not the order of places.
pub(crate) fn row_of(at: usize, content: u64, lang: u8, ticks: u64) -> FragmentRow {
    let spread = narrow(at * 7919 % 97);
    let place = Place { shard: spread % 3, row: spread, start: narrow(at) };
    FragmentRow { place, lang: lang_of(lang), content: hash_of(content), tick: ticks }
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("a small pool")
}

/// Fragments that share few contents; content decides the signature.
pub(crate) fn signed(rows: usize, keys: u64) -> impl Strategy<Value = Vec<Signed>> {
    let texts = prop::collection::vec(signatures(keys), 1..rows);
    (texts, prop::collection::vec((any::<Index>(), 0..3u8, any::<u64>()), rows)).prop_map(|(texts, rows)| {
        let place = |(at, (text, lang, tick)): (usize, (Index, u8, u64))| {
            let content = text.index(texts.len());
            Signed { row: row_of(at, content as u64, lang, tick), signature: texts[content].clone() }
        };
        rows.into_iter().enumerate().map(place).collect()
    })
}

/// Scored exchanges with few scores, cells and ticks, so that ties are common.
pub(crate) fn scored(rows: usize) -> impl Strategy<Value = Vec<Scored>> {
    let texts = prop::collection::vec(signatures(4), 1..rows);
    // Far apart, the same, and so near that only the last digit tells them apart.
    let score = prop_oneof![(-2..3i64).prop_map(|score| score * 250_000), 899_998..900_003i64];
    let one = (any::<Index>(), 0..3u8, 0..4u64, score, 0..4u32);
    (texts, prop::collection::vec(one, rows)).prop_map(|(texts, rows)| {
        let place = |(at, (text, lang, tick, score, cell)): (usize, (Index, u8, u64, i64, u32))| {
            let asked = text.index(texts.len());
            Scored {
                row: row_of(at, at as u64, lang, tick << 62),
                score,
                cell,
                asked: hash_of(asked as u64),
                asked_signature: texts[asked].clone(),
            }
        };
        rows.into_iter().enumerate().map(place).collect()
    })
}

/// A script without its signatures.
pub(crate) fn rows_alone(script: Vec<Changes<Signed>>) -> Vec<Changes<FragmentRow>> {
    let alone =
        |changes: Changes<Signed>| changes.into_iter().map(|(signed, diff)| (signed.row, diff)).collect();
    script.into_iter().map(alone).collect()
}
