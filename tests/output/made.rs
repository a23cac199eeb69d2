//! A made corpus, and the output side of the chain run over it: bundles in any order, on any number of workers.

use isogloss::config::Audit;
use isogloss::model::{
    Bundle, Epoch, Exchange, Lang, Lineage, Note, Place, Reason, Span, Stage, Verdict, Weight, fragment_id,
};
use isogloss::sink::audit::{AuditContext, Audited, audit};
use isogloss::sink::card::card;
use isogloss::sink::{Manifest, Output, Part, PartContext, Published, ShardEntry, Versions, parts};
use isogloss::source::Credits;
use isogloss::stop::Stop;
use isogloss::telemetry::Tally;
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Inspect};

/// A small generator of our own: the same numbers on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

const WORDS: [&str; 8] = ["maré", "água", "日本語", "😀", "ça", "नमस्ते", "<|im_end|>", "\u{1b}[2J"];
const LICENSES: [&str; 3] = ["", "CC-BY-4.0", "</td><script>"];

/// Shards on disk, and the exchanges that were selected of them.
pub(crate) struct Made {
    pub(crate) shards: Vec<ShardEntry>,
    pub(crate) rows: Vec<Vec<Exchange>>,
    pub(crate) versions: Versions,
    pub(crate) fingerprint: u128,
}

pub(crate) fn lang(tag: &str) -> Lang {
    Lang::from_tag(tag).expect("in the table")
}

/// Writes a shard per key under `root`, `rows` rows each, and selects some fragments of them.
pub(crate) fn made(root: &Path, keys: &[&str], rows: u32) -> Made {
    let mut keys: Vec<&str> = keys.to_vec();
    keys.sort_unstable();
    let mut made = Made {
        shards: Vec::new(),
        rows: Vec::new(),
        versions: Versions {
            translate: "scripted/1".into(),
            instruct: "scripted | <b>/1".into(),
            schema: "1".into(),
            ..Versions::default()
        },
        fingerprint: 7,
    };
    for (number, key) in (0..).zip(keys) {
        let mut dice = Dice(xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
        let texts: Vec<String> = (0..rows).map(|_| text(&mut dice)).collect();
        let entry = shard(root, key, &texts);
        let mut selected = Vec::new();
        for (row, text) in (0..).zip(&texts) {
            select(&mut selected, &mut dice, Place::of_row(number, row), key, text);
        }
        made.shards.push(entry);
        made.rows.push(selected);
    }
    made
}

fn text(dice: &mut Dice) -> String {
    (0..20 + dice.below(30)).map(|_| WORDS[dice.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
}

/// One shard of `id, text`.
pub(crate) fn shard(root: &Path, key: &str, texts: &[String]) -> ShardEntry {
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("text", column)]).expect("one column");
    let properties = parquet::file::properties::WriterProperties::builder();
    let properties = properties.set_max_row_group_row_count(Some(1000)).build();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("started");
    writer.write(&batch).expect("encoded");
    let bytes = writer.into_inner().expect("whole");
    let path = root.join(key);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, &bytes).expect("written");
    ShardEntry {
        key: key.to_owned(),
        digest: xxhash_rust::xxh3::xxh3_128(&bytes),
        bytes: bytes.len() as u64,
        modified_ns: 1,
        rows: texts.len() as u64,
        text_column: "text".into(),
    }
}

/// Up to two fragments of a row, of one or two spans, some of which end before the output.
fn select(into: &mut Vec<Exchange>, dice: &mut Dice, row: Place, key: &str, text: &str) {
    let ends: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let at = |i: usize| u32::try_from(ends[i]).expect("short");
    let quarter = ends.len() / 4;
    let spans = match dice.below(4) {
        0 => vec![],
        1 => vec![vec![Span { start: 0, end: at(quarter) }]],
        2 => vec![vec![
            Span { start: at(0), end: at(quarter) },
            Span { start: at(quarter + 1), end: at(quarter * 2) },
        ]],
        _ => vec![
            vec![Span { start: 0, end: at(quarter) }],
            vec![Span { start: at(quarter * 2), end: u32::try_from(text.len()).expect("short") }],
        ],
    };
    for spans in spans {
        let place = Place { start: spans[0].start, ..row };
        let part = |span: &Span| text.get(span.start as usize..span.end as usize).expect("boundaries");
        let response: String = spans.iter().map(part).collect();
        let outcome = match dice.below(10) {
            0 => Some(Verdict::faulted(Stage::Localize, Reason::WrongLang, 0.5)),
            1 => Some(Verdict::dropped(Stage::Localize, Reason::Copy, 8.0)),
            _ => None,
        };
        into.push(Exchange {
            id: fragment_id(key, row.row, &spans),
            place,
            lang: lang(["por_Latn", "arb_Arab"].get(dice.below(2)).expect("one of them")),
            content: u128::from(row.row),
            response,
            lineage: Lineage {
                source_id: format!("<urn:{}>", row.row),
                url: "https://a.example/\u{1b}x".into(),
                license: LICENSES[dice.below(3)].into(),
            },
            response_en: format!("English of {}", row.row),
            instruction_en: format!("What is {}?", row.row),
            instruction: format!("O que é {}?\n\"'<b>", row.row),
            score: f64::from(row.row) / 8.0,
            cell: row.row % 5,
            outcome,
            spans,
            ..Exchange::default()
        });
    }
}

/// How a run goes about it; none of this may show in its rows.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) workers: usize,
    pub(crate) bundle: usize,
    pub(crate) seed: u64,
}

pub(crate) const ONE: Way = Way { workers: 1, bundle: 16, seed: 0 };

/// What a run ends with.
pub(crate) struct Ran {
    pub(crate) parts: Vec<Part>,
    pub(crate) notes: usize,
    pub(crate) audited: Vec<Audited>,
    pub(crate) in_flight: u64,
}

impl Ran {
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.audited.iter().for_each(|audited| tally.merge(&audited.tally));
        tally
    }
}

/// The bundles of one shard, in an order of chance.
fn bundles(number: u32, rows: &[Exchange], way: Way) -> Vec<Bundle> {
    let chunks: Vec<&[Exchange]> =
        if rows.is_empty() { vec![&[]] } else { rows.chunks(way.bundle).collect() };
    let last = chunks.len() - 1;
    let bundle = |(serial, rows): (usize, &[Exchange])| Bundle {
        shard: number,
        serial: u32::try_from(serial).expect("few"),
        last: serial == last,
        weight: Weight { rows: u32::try_from(rows.len()).expect("few"), bytes: rows.len() as u64 },
        rows: rows.to_vec(),
    };
    chunks.into_iter().enumerate().map(bundle).collect()
}

/// Runs the output side over what is made; `early` notes stand for those of the stages before.
pub(crate) fn ran(
    output: &Output,
    made: &Made,
    way: Way,
    mode: Audit,
    early: &[Note],
) -> isogloss::Result<Ran> {
    let keys = made.shards.iter().map(|shard| (shard.key.clone(), shard.digest)).collect();
    let part_ctx = Arc::new(PartContext {
        shards: keys,
        versions: made.versions.clone(),
        fingerprint: made.fingerprint,
        store: output.store(),
        ..PartContext::default()
    });
    let audit_ctx = Arc::new(AuditContext {
        shards: made.shards.iter().map(|shard| shard.key.clone()).collect(),
        mode,
        fingerprint: made.fingerprint,
        store: output.store(),
        ..AuditContext::default()
    });
    let rows = made.rows.clone();
    let early = early.to_vec();
    let stop = Stop::default();
    let flag = stop.clone();
    let each = isogloss::workers::run(way.workers, &stop, move |worker| {
        let credits = Credits::new(1_000_000, 1_000_000);
        let mut mine = Vec::new();
        for (number, rows) in (0_u32..).zip(&rows) {
            if number as usize % worker.peers() == worker.index() {
                mine.extend(bundles(number, rows, way));
            }
        }
        Dice(way.seed).shuffle(&mut mine);
        mine.iter().for_each(|bundle| credits.take(bundle.weight));
        let early = if worker.index() == 0 { early.clone() } else { Vec::new() };
        let parts = Rc::new(RefCell::new((Vec::new(), 0)));
        let audited = Rc::new(RefCell::new(Vec::new()));
        let (parts_seen, notes_seen, audited_seen) =
            (Rc::clone(&parts), Rc::clone(&parts), Rc::clone(&audited));
        worker.dataflow::<Epoch, _, _>(|scope| {
            let bundles = given(scope, mine);
            let early = given(scope, vec![early]);
            let (parts, notes) =
                parts::write(bundles, Arc::clone(&part_ctx), Rc::clone(&credits), flag.clone());
            parts.inspect(move |part: &Part| parts_seen.borrow_mut().0.push(part.clone()));
            let notes = notes.inspect(move |_| notes_seen.borrow_mut().1 += 1).concat(early);
            let notes = notes.map(|note: Note| (note, 0, 1));
            audit(notes, Arc::clone(&audit_ctx), flag.clone())
                .inspect(move |audited| audited_seen.borrow_mut().push(audited.clone()));
        });
        Ok(move || {
            let (parts, notes) = parts.take();
            let one = Weight { rows: 0, bytes: 0 };
            credits.take(one);
            Ok((parts, notes, audited.take(), credits.open()))
        })
    })?;
    let mut ran = Ran { parts: Vec::new(), notes: 0, audited: Vec::new(), in_flight: 0 };
    for (parts, notes, audited, open) in each {
        ran.parts.extend(parts);
        ran.notes += notes;
        ran.audited.extend(audited);
        ran.in_flight += u64::from(!open);
    }
    Ok(ran)
}

/// Containers as a stream at epoch 0.
fn given<C>(scope: timely::dataflow::Scope<'_, Epoch>, containers: Vec<C>) -> Stream<'_, Epoch, C>
where
    C: timely::Container + 'static,
{
    let mut builder = OperatorBuilder::new("given".to_owned(), scope);
    let (out, stream) = builder.new_output();
    let mut out = OutputBuilder::<Epoch, NoopBuilder<C>>::from(out);
    builder.build(move |mut capabilities| {
        let mut todo = capabilities.pop().map(|capability| (capability, containers));
        move |_| {
            if let Some((capability, containers)) = todo.take() {
                for mut container in containers {
                    out.activate().session_with_builder(&capability).give_container(&mut container);
                }
            }
        }
    });
    stream
}

/// The manifest of a run.
pub(crate) fn manifest_of(made: &Made, ran: &Ran) -> Manifest {
    Manifest {
        fingerprint: made.fingerprint,
        versions: made.versions.clone(),
        shards: made.shards.clone(),
        parts: ran.parts.clone(),
        audit: ran.audited.iter().flat_map(|audited| audited.files.clone()).collect(),
        counts: ran.tally().counts(),
        ..Manifest::default()
    }
    .sealed()
}

/// A run from the lock to the snapshot.
pub(crate) fn published(folder: &Path, made: &Made, way: Way) -> (Manifest, Published) {
    let output = Output::open(folder).expect("free");
    let ran = ran(&output, made, way, Audit::All, &[]).expect("complete");
    let manifest = manifest_of(made, &ran);
    let published = output.publish(&manifest, &card(&manifest), 2).expect("published");
    (manifest, published)
}
