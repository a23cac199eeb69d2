//! Made fragments: of ten, one copies another exactly, two nearly (each lane redrawn with 8 %), and one band is shared by
//! 5,000. The shape is the one that `sign` has by default: 16 bands of 5 lanes, a sketch of 512 lanes.

use isogloss::model::{FragmentRow, Lang, Place, Signature, Signed};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Bands of a signature.
pub(crate) const BANDS: usize = 16;
const ROWS: usize = 5;
/// Lanes of a sketch, two a byte.
pub(crate) const LANES: usize = 512;
const HUB: u64 = 5_000;

/// The i-th fragment: of ten, one copies an earlier kind, two nearly do.
pub(crate) fn fragment(i: u64, fragments: u64) -> Signed {
    let mut random = Random(i ^ 0x5eed);
    let own = (random.next() % (fragments / 10).max(1)) * 10 + 3 + random.next() % 7;
    let (root, near) = match i % 10 {
        0 => (own, false),
        1 | 2 => (own, true),
        _ => (i, false),
    };
    let mut lanes = [0u32; LANES];
    let mut of_root = Random(root);
    for lane in &mut lanes {
        *lane = low(of_root.next());
        if near && random.next() % 100 < 8 {
            *lane = low(random.next());
        }
    }
    let mut bands: Vec<u64> = (0..BANDS)
        .map(|band| {
            let rows = &lanes[band * ROWS..(band + 1) * ROWS];
            let bytes: Vec<u8> =
                rows.iter().flat_map(|lane| lane.to_le_bytes()).chain(band.to_le_bytes()).collect();
            xxh3_64(&bytes)
        })
        .collect();
    if i % 10 == 5 && i / 10 < HUB {
        bands[0] = 42;
    }
    let content = if near { i } else { root };
    Signed {
        row: FragmentRow {
            place: Place { shard: low(i / 100_000), row: low(i % 100_000), start: 0 },
            lang: Lang::from_tag("por_Latn").expect("in the table"),
            content: xxh3_128(&content.to_le_bytes()),
            tick: xxh3_64(&i.to_le_bytes()),
        },
        signature: Signature {
            bands,
            sketch: lanes.chunks(2).map(|pair| half(pair[0]) | half(pair[1]) << 4).collect(),
        },
    }
}

/// Four bits of a lane; 0 would be an empty one.
fn half(lane: u32) -> u8 {
    (1 + (lane >> 8) % 15).to_le_bytes()[0]
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
fn low(bits: u64) -> u32 {
    bits as u32
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A line of /proc/self/status in bytes; 0 where there is none.
pub(crate) fn memory(line: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|text| text.trim().trim_end_matches(" kB").parse::<i64>().ok()).unwrap_or(0) * 1024
}
