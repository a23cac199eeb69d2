//! The dataset card of a snapshot: what `datasets` loads, and what a person should know before training on it.
//!
//! **Why**: one config per lang makes `load_dataset(DIR, "por_Latn")` work on the folder as it is. The card is a
//! function of the manifest. Words of strangers (licences, model names) stand in its body only, with every
//! character that Markdown or HTML could act on as an entity; the front matter holds words of ours alone.

use super::manifest::Manifest;
use crate::model::{Lang, Stage};
use crate::telemetry::table::grouped;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Licences that are listed by name.
const MOST_LICENSES: usize = 50;

/// The card's text.
pub fn card(manifest: &Manifest) -> String {
    let rows = manifest.rows_by_lang();
    let mut text = front_matter(&rows);
    body(&mut text, manifest, &rows);
    text
}

fn front_matter(rows: &BTreeMap<Lang, u64>) -> String {
    let total: u64 = rows.values().sum();
    let mut text = String::from("---\npretty_name: \"Native instruction rows\"\n");
    if !rows.is_empty() {
        text.push_str("language:\n");
        let mut codes: Vec<&str> = rows.keys().map(|lang| lang.code()).collect();
        codes.dedup();
        for code in codes {
            line(&mut text, &format!("- \"{code}\""));
        }
    }
    text.push_str(
        "task_categories:\n- \"text-generation\"\ntags:\n- \"instruction-finetuning\"\n- \"isogloss\"\n",
    );
    line(&mut text, &format!("size_categories:\n- \"{}\"", size_category(total)));
    if !rows.is_empty() {
        text.push_str("configs:\n");
    }
    let largest =
        rows.iter().max_by_key(|(lang, rows)| (**rows, std::cmp::Reverse(**lang))).map(|(lang, _)| *lang);
    for lang in rows.keys() {
        line(&mut text, &format!("- config_name: \"{lang}\"\n  data_files: \"{lang}/*.parquet\""));
        if largest == Some(*lang) {
            text.push_str("  default: true\n");
        }
    }
    text.push_str("---\n");
    text
}

fn body(text: &mut String, manifest: &Manifest, rows: &BTreeMap<Lang, u64>) {
    text.push_str(
        "\n# Native instruction rows\n\nMade by isogloss, after Indurthi et al., arXiv 2407.01853. Each response is native \
         text as it was found: byte ranges of a web page, never rewritten. Each instruction was written by a model in \
         English for an English translation of the response, and translated back.\n\n",
    );
    text.push_str("| lang | language | rows | fragments | selected |\n| --- | --- | --: | --: | --: |\n");
    for (lang, count) in rows {
        let fragments = fragments(manifest, *lang);
        let share = if fragments > 0 { 100.0 * *count as f64 / fragments as f64 } else { 0.0 };
        let name = entities(lang.english_name());
        line(
            text,
            &format!("| {lang} | {name} | {} | {} | {share:.1} % |", grouped(*count), grouped(fragments)),
        );
    }
    text.push_str(
        "\n## Columns\n\n`messages` (role, content) is what training tools read; `instruction` and `response` are the same \
         words. `instruction_en` and `response_en` are the English they were made from, `score` and `cell` what selection \
         went by. `shard`, `row` and `spans` (byte offsets in that row's text) say where the response stands; `source_id`, \
         `url` and `license` are the source's own words, empty where it says nothing. No column is ever null. Rows are \
         ordered by (shard, row, spans).\n\n```python\nfrom datasets import load_dataset\n",
    );
    if let Some(lang) = rows.keys().next() {
        line(text, &format!("rows = load_dataset(\"path/of/this/folder\", \"{lang}\", split=\"train\")"));
    }
    text.push_str(
        "```\n\nA glob over all langs is `???_????/*.parquet`; `_audit/` says what became of the fragments that are not \
         here.\n\n## Made with\n\n| part | version |\n| --- | --- |\n",
    );
    for (name, version) in manifest.versions.named() {
        line(text, &format!("| {name} | {} |", entities(version)));
    }
    line(text, &format!("| settings | {:032x} |", manifest.fingerprint));
    line(text, &format!("| rows | {:032x} |", manifest.digest));
    line(text, &format!("\n{} source shards; see `manifest.json`.", grouped(manifest.shards.len() as u64)));
    text.push_str("\n## Licences\n\nAs the sources say them:\n\n| licence | rows |\n| --- | --: |\n");
    let mut licenses: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in manifest.parts.iter().flat_map(|part| &part.licenses) {
        *licenses.entry(name).or_default() += count;
    }
    let mut licenses: Vec<(&str, u64)> = licenses.into_iter().collect();
    licenses.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    for (name, count) in licenses.iter().take(MOST_LICENSES) {
        let name = if name.is_empty() { "not stated".to_owned() } else { entities(name) };
        line(text, &format!("| {name} | {} |", grouped(*count)));
    }
    if let Some(more) = licenses.get(MOST_LICENSES..).filter(|more| !more.is_empty()) {
        let count = more.iter().map(|(_, count)| count).sum();
        line(text, &format!("| {} others | {} |", more.len(), grouped(count)));
    }
    text.push_str("\nThe models that wrote and translated the instructions have licences of their own.\n");
}

/// Fragments of a lang that were identified, whatever became of them.
fn fragments(manifest: &Manifest, lang: Lang) -> u64 {
    let rows_only = [Stage::Read.name(), Stage::Fragment.name()];
    let counts = manifest.counts.iter().filter(|count| count.lang == lang.tag());
    let counts = counts.filter(|count| !rows_only.contains(&count.stage.as_str()));
    counts.map(|count| u64::try_from(count.count).unwrap_or(0)).sum()
}

/// The Hub's words for a number of rows.
fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        _ => "100M<n<1B",
    }
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

/// The most characters of a stranger's word.
const MOST_CHARS: usize = 300;

/// Text that no Markdown or HTML reader acts on: all but letters, digits, `-` and single spaces as entities.
fn entities(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut chars = text.chars();
    for c in chars.by_ref().take(MOST_CHARS) {
        if c.is_alphanumeric() || c == '-' || c == ' ' {
            safe.push(c);
        } else if c.is_control() || c.is_whitespace() {
            safe.push(' ');
        } else {
            let _ = write!(safe, "&#{};", u32::from(c));
        }
    }
    if chars.next().is_some() {
        safe.push('…');
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::manifest::Part;

    fn lang(tag: &str) -> Lang {
        Lang::from_tag(tag).expect("in the table")
    }

    fn part(tag: &str, rows: u64, license: &str) -> Part {
        let licenses = [(license.to_owned(), rows)].into();
        Part { lang: lang(tag), rows, licenses, ..Part::default() }
    }

    #[test]
    fn each_lang_is_a_config_and_the_largest_is_the_default() {
        let parts = vec![part("por_Latn", 2, "x"), part("spa_Latn", 3, "x"), part("spa_Latn", 0, "x")];
        let text = card(&Manifest { parts, ..Manifest::default() }.sealed());
        assert!(text.starts_with("---\n"));
        let front = text.split("---\n").nth(1).expect("front matter");
        assert_eq!(front.matches("config_name").count(), 2);
        assert!(front.contains(
            "- config_name: \"spa_Latn\"\n  data_files: \"spa_Latn/*.parquet\"\n  default: true\n"
        ));
        assert!(front.contains("- \"por\"\n- \"spa\"\n"));
    }

    #[test]
    fn hostile_words_neither_end_the_front_matter_nor_become_markup() {
        let evil = "\n---\n<script>alert(1)</script>|[x](javascript:y)`$(id)`\u{202e}\0https://a.b/c";
        let mut manifest = Manifest { parts: vec![part("por_Latn", 2, evil)], ..Manifest::default() };
        manifest.versions.translate = evil.to_owned();
        let text = card(&manifest.sealed());
        assert_eq!(text.lines().filter(|line| *line == "---").count(), 2);
        for mark in ["<script", "](javascript", "$(id)", "https://", "\u{202e}", "\0"] {
            assert!(!text.contains(mark), "{mark:?}");
        }
        let row = text.lines().find(|line| line.contains("script") && line.ends_with("| 2 |"));
        assert_eq!(row.expect("the licence has a row").matches('|').count(), 3);
    }

    #[test]
    fn an_output_without_rows_has_a_card() {
        let text = card(&Manifest::default().sealed());
        assert!(!text.contains("configs:") && text.contains("n<1K"));
    }
}
