//! The readable sources of `data/corpora`: pages in a text file, one file per shard.
//!
//! **Why**: a corpus that people review must be readable and diffable; Parquet is neither. A page is
//! `=== <url>`, lines `key: value`, a line `---`, and text up to the next page. A copy of an earlier page
//! names it (`copy: <url>`) and what differs (`edit: old => new`, `prepend: line`, `append: line`).

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// One page as a crawl gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its address, unique within a corpus.
    pub url: String,
    /// When it was fetched, RFC 3339.
    pub date: String,
    /// The crawl it comes from, as `CC-MAIN-2024-10`.
    pub dump: String,
    /// The lang the source claims, which need not be true.
    pub language: String,
    /// Its text, without the blank lines around it.
    pub text: String,
}

/// Reads the pages of one file. `earlier` holds the texts of the pages read before, by address, and is
/// added to, so that a later file may copy from an earlier one.
///
/// # Errors
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) with the line, if a page breaks the format, an address
/// stands twice, or a copy names an unknown page or an edit whose old text does not occur exactly once.
pub fn pages_of(file: &str, earlier: &mut BTreeMap<String, String>) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut lines = file.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let Some(url) = line.strip_prefix("=== ") else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(broken("text outside a page", number));
        };
        let mut page = Page { url: url.trim().to_owned(), ..Page::default() };
        let mut copy = Copy::default();
        for (number, line) in lines.by_ref() {
            if line == "---" {
                break;
            }
            let (key, value) = line.split_once(": ").ok_or_else(|| broken("no `key: value`", number))?;
            match key {
                "date" => value.clone_into(&mut page.date),
                "dump" => value.clone_into(&mut page.dump),
                "language" => value.clone_into(&mut page.language),
                "copy" => copy.url = Some((value.to_owned(), number)),
                "edit" => {
                    let edit = value.split_once(" => ").ok_or_else(|| broken("no `old => new`", number))?;
                    copy.edits.push((edit.0.to_owned(), edit.1.to_owned(), number));
                }
                "prepend" => copy.prepend.push(value.to_owned()),
                "append" => copy.append.push(value.to_owned()),
                _ => return Err(broken("unknown key", number)),
            }
        }
        let mut text = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.starts_with("=== ")) {
            text.push(line);
        }
        text.join("\n").trim().clone_into(&mut page.text);
        if copy.url.is_some() {
            page.text = copy.apply(earlier)?;
        }
        if earlier.insert(page.url.clone(), page.text.clone()).is_some() {
            return Err(broken("address stands twice", number));
        }
        pages.push(page);
    }
    Ok(pages)
}

#[derive(Default)]
struct Copy {
    url: Option<(String, usize)>,
    edits: Vec<(String, String, usize)>,
    prepend: Vec<String>,
    append: Vec<String>,
}

impl Copy {
    fn apply(&self, earlier: &BTreeMap<String, String>) -> Result<String> {
        let Some((url, number)) = &self.url else { return Ok(String::new()) };
        let mut text = earlier.get(url).ok_or_else(|| broken("copy of an unknown page", *number))?.clone();
        for (old, new, number) in &self.edits {
            if text.matches(old.as_str()).count() != 1 {
                return Err(broken("edited text does not occur exactly once", *number));
            }
            text = text.replacen(old.as_str(), new, 1);
        }
        let whole = self.prepend.iter().chain(std::iter::once(&text)).chain(&self.append);
        Ok(whole.map(String::as_str).collect::<Vec<_>>().join("\n"))
    }
}

fn broken(what: &str, line: usize) -> Error {
    Error::corpus(format!("page source broken: {what}, line={}", line + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "=== https://a.example/1\ndate: d\ndump: c\nlanguage: por_Latn\n---\num dois\n\ntrês\n\n";

    #[test]
    fn a_page_keeps_its_inner_blank_lines() {
        let pages = pages_of(ONE, &mut BTreeMap::new()).unwrap();
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].text, "um dois\n\ntrês");
        assert_eq!((pages[0].date.as_str(), pages[0].dump.as_str()), ("d", "c"));
    }

    #[test]
    fn a_copy_is_the_original_with_its_edits() {
        let copy = "=== https://b.example/2\ncopy: https://a.example/1\nedit: dois => 2\nappend: fim\n---\n";
        let pages = pages_of(&format!("{ONE}{copy}"), &mut BTreeMap::new()).unwrap();
        assert_eq!(pages[1].text, "um 2\n\ntrês\nfim");
    }

    #[test]
    fn what_breaks_the_format_is_named_with_its_line() {
        let fails = |file: &str| pages_of(file, &mut BTreeMap::new()).unwrap_err().to_string();
        assert!(fails("texto\n").contains("line=1"));
        assert!(fails("=== u\nno key\n---\n").contains("line=2"));
        assert!(fails("=== u\ncopy: nowhere\n---\n").contains("unknown page"));
        assert!(fails(&format!("{ONE}{ONE}")).contains("stands twice"));
        let twice = "=== v\ncopy: https://a.example/1\nedit: t => d\n---\n".to_owned();
        assert!(pages_of(&format!("{ONE}{twice}"), &mut BTreeMap::new()).is_ok());
        let none = twice.replace("edit: t", "edit: zzz");
        assert!(fails(&format!("{ONE}{none}")).contains("exactly once"));
    }
}
