//! The kernels of the front alone, no dataflow: nanoseconds per fragment and megabytes of text per second and core.
//!
//! `cargo bench --bench kernels [-- FOLDER]`: `FOLDER` holds page sources as `data/corpora/sources`, the default. Each kernel gets what
//! the one before it gave; the best of five passes counts. Language identification is skipped if its model file is away.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

use isogloss::llm::embedded::lid::Lid;
use isogloss::llm::models::{Cache, LID};
use isogloss::model::{Lang, content_of, response_of};
use isogloss::source::pages::pages_of;
use isogloss::stage::glyph::Glyphs;
use isogloss::stage::identify::{IdentifySettings, Selector};
use isogloss::stage::quality::{Judge, QualitySettings};
use isogloss::stage::segment::{SegmentSettings, Segmenter};
use isogloss::stage::shingle::{Shingles, Widths};
use isogloss::stage::sign::{Dispatch, Scratch, SignSettings, Signer};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Texts are repeated until there are so many bytes of them.
const BYTES: usize = 8_000_000;
const PASSES: usize = 5;

type Text = (Lang, String);

/// What one set of texts is measured on.
struct Bench<'a> {
    set: &'a str,
    fragments: usize,
    bytes: usize,
    total: f64,
}

impl Bench<'_> {
    /// Runs a pass several times, tells the best one.
    fn run(&mut self, name: &str, counts: bool, mut pass: impl FnMut()) {
        let best = (0..PASSES)
            .map(|_| {
                let start = Instant::now();
                pass();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        self.total += if counts { best } else { 0.0 };
        self.tell(name, best);
    }

    fn tell(&self, name: &str, seconds: f64) {
        let Self { set, fragments, bytes, .. } = self;
        let (each, rate) = (seconds * 1e9 / *fragments as f64, *bytes as f64 / seconds / 1e6);
        println!("{set:9} {name:16} {each:9.0} ns per fragment {rate:8.1} MB/s");
        println!(
            r#"{{"name":"kernels/{name}","value":{rate:.2},"unit":"MB/s","set":"{set}","ns_per_fragment":{each:.0},"fragments":{fragments},"bytes":{bytes},"cores":1}}"#
        );
    }
}

fn main() {
    isogloss::telemetry::memory::small_pages();
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let folder = folder
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora/sources"), PathBuf::from);
    let all = texts_of(&folder);
    let portuguese: Vec<Text> = all.iter().filter(|(lang, _)| lang.tag() == "por_Latn").cloned().collect();
    for (set, texts) in [("por_Latn", portuguese), ("all", all)] {
        if !texts.is_empty() {
            measure(set, &texts);
        }
    }
}

fn measure(set: &str, texts: &[Text]) {
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let rows: Vec<&Text> = texts.iter().cycle().take(texts.len() * BYTES.div_ceil(bytes)).collect();
    let segmenter = Segmenter::new(&SegmentSettings::default());
    let fragments: Vec<Text> = rows
        .iter()
        .flat_map(|(lang, text)| {
            let fragments = segmenter.segment(text, *lang);
            fragments
                .into_iter()
                .filter_map(|spans| Some((*lang, response_of(text, &spans)?)))
                .collect::<Vec<_>>()
        })
        .collect();
    let bytes = rows.iter().map(|(_, text)| text.len()).sum();
    let mut bench = Bench { set, fragments: fragments.len(), bytes, total: 0.0 };
    bench.run("segment", true, || {
        rows.iter().for_each(|(lang, text)| _ = black_box(segmenter.segment(text, *lang)));
    });
    if let Some(lid) =
        Cache::at(None).ok().and_then(|cache| cache.find(&LID)).and_then(|path| Lid::open(&path).ok())
    {
        let mut selector = Selector::new(&IdentifySettings::default());
        bench.run("identify", true, || {
            fragments.iter().for_each(|(_, text)| _ = black_box(selector.lang_of(&lid, text)));
        });
    } else {
        println!(
            "{set:9} identify skipped: the model file is not there, fetch it with `isogloss models --fetch`"
        );
    }
    let mut judge = Judge::new(&QualitySettings::default());
    bench.run("quality", true, || {
        fragments.iter().for_each(|(lang, text)| _ = black_box(judge.judge(text, *lang)));
    });
    let shape = SignSettings::default();
    let mut scratch = Scratch::default();
    for dispatch in Dispatch::available() {
        let signer = Signer::with(&shape, *dispatch);
        bench.run(&format!("sign/{dispatch}"), *dispatch == Dispatch::best(), || {
            fragments
                .iter()
                .for_each(|(lang, text)| _ = black_box(signer.sign_content(text, *lang, &mut scratch)));
        });
    }
    let mut normal = String::new();
    bench.run("content", false, || {
        fragments.iter().for_each(|(_, text)| _ = black_box(content_of(text, &mut normal)));
    });
    let (mut shingles, widths) =
        (Shingles::default(), Widths { words: shape.shingle_words, chars: shape.shingle_chars });
    bench.run("shingle", false, || {
        fragments.iter().for_each(|(_, text)| _ = black_box(shingles.of(text, widths, Glyphs::get()).len()));
    });
    bench.tell("front", bench.total);
}

fn texts_of(folder: &Path) -> Vec<Text> {
    let mut texts = Vec::new();
    for lang in sorted(folder) {
        let tag = lang.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut earlier = BTreeMap::new();
        for file in sorted(&lang) {
            let Ok(source) = std::fs::read_to_string(&file) else { continue };
            let pages = pages_of(&source, &mut earlier).unwrap_or_default();
            texts
                .extend(pages.into_iter().map(|page| (Lang::from_tag(&tag).unwrap_or(Lang::UND), page.text)));
        }
    }
    texts
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
