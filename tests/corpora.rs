//! The readable sources of `data/corpora` parse, and hold what their README says.

use isogloss::model::Lang;
use isogloss::source::pages::{Page, pages_of};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn pages_by_lang() -> BTreeMap<String, Vec<Page>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora/sources");
    let mut earlier = BTreeMap::new();
    let mut found = BTreeMap::new();
    for folder in sorted(&root) {
        let tag = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a folder is named by its lang")
            .to_owned();
        let mut pages = Vec::new();
        for file in sorted(&folder) {
            let text = fs::read_to_string(&file).expect("a source is UTF-8");
            pages.extend(
                pages_of(&text, &mut earlier).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
            );
        }
        found.insert(tag, pages);
    }
    found
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is part of the checkout");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_source_parses_and_is_named_by_a_known_lang() {
    let corpora = pages_by_lang();
    assert!(corpora.len() >= 14, "langs={}", corpora.len());
    for (tag, pages) in &corpora {
        assert!(Lang::from_tag(tag).is_some(), "unknown lang: {tag}");
        assert!(pages.len() >= 7, "{tag} has {} pages", pages.len());
        for page in pages {
            assert!(page.url.starts_with("https://"), "{}", page.url);
            assert!(page.url.contains(".example/"), "not an invented host: {}", page.url);
            assert!(page.dump.starts_with("CC-MAIN-") && page.date.ends_with('Z'), "{}", page.url);
            assert_eq!(&page.language, tag, "{}", page.url);
            assert!(!page.text.is_empty(), "{}", page.url);
        }
    }
}

#[test]
fn portuguese_has_its_pages_and_its_exact_copies() {
    let corpora = pages_by_lang();
    let pages = &corpora["por_Latn"];
    assert!(pages.len() >= 120, "pages={}", pages.len());
    let mut by_text: BTreeMap<&str, usize> = BTreeMap::new();
    for page in pages {
        *by_text.entry(page.text.as_str()).or_default() += 1;
    }
    let copied = by_text.values().filter(|count| **count > 1).count();
    assert!(copied >= 8, "texts that stand twice: {copied}");
}

#[test]
fn the_committed_shards_are_what_their_sources_give() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora");
    let out = tempfile::tempdir().expect("a temporary folder");
    let shards =
        isogloss::source::pack::pack(&corpora.join("sources"), out.path()).expect("the sources are sound");
    assert!(shards.len() >= 17, "shards={}", shards.len());
    for (shard, _rows) in shards {
        let name = shard.strip_prefix(out.path()).expect("it lies in the folder");
        let committed = fs::read(corpora.join(name)).expect("the shard is committed");
        assert!(committed == fs::read(&shard).expect("just written"), "stale: {}", name.display());
    }
}
