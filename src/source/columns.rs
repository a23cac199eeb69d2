//! Which columns of a shard hold text, id, address, licence and language.
//!
//! **Why**: everyone names them otherwise. The names of FineWeb-2, CulturaX, mC4 and OSCAR (with its nested
//! metadata) are known; any other is a setting. A column in a struct is named by its path, as in
//! `meta.warc_headers.warc-target-uri`.

use crate::error::{Error, Result};
use crate::model::Lang;
use parquet::basic::Type as Physical;
use parquet::schema::types::SchemaDescriptor;
use serde::{Deserialize, Serialize};

/// Names of columns, for shards that use none of the known ones. A name that is set must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnSettings {
    /// The text; otherwise the first of `text`, `content`, `raw_content`.
    pub text: Option<String>,
    /// The row's own id; otherwise `id`, `doc_id`, or the WARC record's.
    pub id: Option<String>,
    /// The address; otherwise `url`, `uri`, or the WARC target's.
    pub url: Option<String>,
    /// The licence; otherwise `license`, `licence`, also under `meta` or `metadata`.
    pub license: Option<String>,
    /// The language: a tag (`por_Latn`), an ISO 639 code, or a code with `language_script` beside it; otherwise
    /// `language`, `lang`, or OSCAR's identification.
    pub lang: Option<String>,
}

impl ColumnSettings {
    /// Checks that no name is empty; `key` is the path of this table in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let named = [("text", &self.text), ("id", &self.id), ("url", &self.url), ("license", &self.license)];
        for (field, name) in named.into_iter().chain([("lang", &self.lang)]) {
            if name.as_ref().is_some_and(String::is_empty) {
                return Err(Error::config(format!(
                    "setting out of range: key={key}.{field}, value=\"\", range=a column's name, remedy=leave it out"
                )));
            }
        }
        Ok(())
    }
}

const TEXT: &[&str] = &["text", "content", "raw_content"];
const ID: &[&str] = &[
    "id",
    "doc_id",
    "warc_headers.warc-record-id",
    "meta.warc_headers.warc-record-id",
    "metadata.warc_headers.warc-record-id",
];
const URL: &[&str] = &[
    "url",
    "uri",
    "warc_headers.warc-target-uri",
    "meta.warc_headers.warc-target-uri",
    "metadata.warc_headers.warc-target-uri",
    "meta.url",
    "metadata.url",
];
const LICENSE: &[&str] =
    &["license", "licence", "meta.license", "meta.licence", "metadata.license", "metadata.licence"];
const LANG: &[&str] = &[
    "language",
    "lang",
    "identification.label",
    "meta.identification.label",
    "metadata.identification.label",
    "meta.language",
    "metadata.language",
];
const SCRIPT: &[&str] = &["language_script"];

/// The columns of one shard, as leaves of its Parquet schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The text.
    pub text: usize,
    /// The row's own id.
    pub id: Option<usize>,
    /// The address.
    pub url: Option<usize>,
    /// The licence.
    pub license: Option<usize>,
    /// The language.
    pub lang: Option<usize>,
    /// The script, where the language does not say it.
    pub script: Option<usize>,
}

impl Columns {
    /// Finds the columns of a shard.
    ///
    /// # Errors
    /// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) if there is no text column, or a column that the settings
    /// name is not there or holds no single value: lists what is there, and the remedy.
    pub fn recognise(schema: &SchemaDescriptor, settings: &ColumnSettings, shard: &str) -> Result<Self> {
        let find = |field: &str, named: &Option<String>, known: &[&str], text: bool| {
            let leaf = match named {
                Some(name) => leaf_of(schema, name, text),
                None => known.iter().find_map(|name| leaf_of(schema, name, text)),
            };
            match named {
                Some(name) if leaf.is_none() => Err(absent(schema, shard, field, name)),
                _ => Ok(leaf),
            }
        };
        Ok(Self {
            text: find("text", &settings.text, TEXT, true)?
                .ok_or_else(|| absent(schema, shard, "text", &TEXT.join("|")))?,
            id: find("id", &settings.id, ID, false)?,
            url: find("url", &settings.url, URL, false)?,
            license: find("license", &settings.license, LICENSE, false)?,
            lang: find("lang", &settings.lang, LANG, true)?,
            script: find("script", &None, SCRIPT, true)?,
        })
    }

    /// The leaves that the first reading needs.
    pub(super) fn front(&self) -> Vec<usize> {
        [Some(self.text), self.lang, self.script].into_iter().flatten().collect()
    }

    /// The leaves that the second reading needs.
    pub(super) fn all(&self) -> Vec<usize> {
        self.front().into_iter().chain([self.id, self.url, self.license].into_iter().flatten()).collect()
    }
}

/// The first leaf of this path that holds one value a row: of bytes, if `text`.
fn leaf_of(schema: &SchemaDescriptor, name: &str, text: bool) -> Option<usize> {
    schema.columns().iter().position(|column| {
        column.max_rep_level() == 0
            && column.path().string() == name
            && (!text || column.physical_type() == Physical::BYTE_ARRAY)
    })
}

fn absent(schema: &SchemaDescriptor, shard: &str, field: &str, wanted: &str) -> Error {
    let there = schema.columns().iter().map(|column| {
        let list = if column.max_rep_level() > 0 { " list" } else { "" };
        format!("{} ({}{list})", column.path().string(), column.physical_type())
    });
    Error::corpus(format!(
        "no {field} column: shard={shard}, wanted={wanted}, columns=[{}], remedy=--set source.columns.{field}=NAME",
        there.collect::<Vec<_>>().join(", ")
    ))
}

/// Turns what shards say of a row's language into a lang; remembers the last answer, since rows agree.
#[derive(Debug, Default)]
pub(super) struct Langs {
    last: Option<(String, String, Lang)>,
}

impl Langs {
    /// The lang of a `language` and a `language_script`, both possibly empty.
    pub(super) fn of(&mut self, language: &str, script: &str) -> Lang {
        match &self.last {
            Some((l, s, lang)) if l == language && s == script => *lang,
            _ => {
                let lang = lang_of(language, script);
                self.last = Some((language.to_owned(), script.to_owned(), lang));
                lang
            }
        }
    }
}

fn lang_of(language: &str, script: &str) -> Lang {
    let language = language.trim();
    let tagged = || Lang::from_tag(language);
    let joined = || Lang::from_tag(&format!("{language}_{script}"));
    // `pt-BR` is `pt` for us; `por` is the one lang of that code.
    let short =
        || Lang::from_lid(&language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase());
    let coded = || {
        let mut langs = Lang::all().filter(|lang| lang.code() == language);
        langs.next().filter(|_| langs.next().is_none())
    };
    let lang = tagged().or_else(joined);
    // A script that the table does not pair with the language is another lang than the table's.
    let lang =
        if script.is_empty() && !language.contains('_') { lang.or_else(short).or_else(coded) } else { lang };
    lang.unwrap_or(Lang::UND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    fn schema(fields: &str) -> SchemaDescriptor {
        SchemaDescriptor::new(Arc::new(parse_message_type(&format!("message m {{ {fields} }}")).unwrap()))
    }

    /// Names of text, id, url, license, lang, script; `-` for none.
    fn found(fields: &str, settings: &ColumnSettings) -> Vec<String> {
        let schema = schema(fields);
        let columns = Columns::recognise(&schema, settings, "s").unwrap();
        [Some(columns.text), columns.id, columns.url, columns.license, columns.lang, columns.script]
            .map(|leaf| leaf.map_or("-".to_owned(), |leaf| schema.column(leaf).path().string()))
            .to_vec()
    }

    #[test]
    fn the_known_corpora_are_recognised() {
        let none = ColumnSettings::default();
        let fineweb = "required binary text (UTF8); required binary id (UTF8); optional binary dump; \
            optional binary url (UTF8); optional binary language (UTF8); optional double language_score; \
            optional binary language_script (UTF8);";
        assert_eq!(found(fineweb, &none), ["text", "id", "url", "-", "language", "language_script"]);
        let culturax = "optional binary text (UTF8); optional binary timestamp; optional binary url; optional binary source;";
        assert_eq!(found(culturax, &none), ["text", "-", "url", "-", "-", "-"]);
        let oscar = "optional int64 id; optional binary text (UTF8); optional group meta { \
            optional group warc_headers { optional binary warc-record-id; optional binary warc-target-uri; } \
            optional group identification { optional binary label; optional float prob; } }";
        let uri = "meta.warc_headers.warc-target-uri";
        assert_eq!(found(oscar, &none), ["text", "id", uri, "-", "meta.identification.label", "-"]);
        let oscar = "optional binary content (UTF8); optional group warc_headers { optional binary warc-record-id; \
            optional binary warc-target-uri; } optional group metadata { optional group identification { optional binary label; } }";
        assert_eq!(
            found(oscar, &none),
            [
                "content",
                "warc_headers.warc-record-id",
                "warc_headers.warc-target-uri",
                "-",
                "metadata.identification.label",
                "-"
            ]
        );
        assert_eq!(
            found("required int32 id; required binary text;", &none),
            ["text", "id", "-", "-", "-", "-"]
        );
    }

    #[test]
    fn other_names_are_mapped_and_must_be_there() {
        let fields = "required binary body; optional group a { optional binary b; } repeated binary tags; optional int64 text;";
        let named = |text: &str, url: Option<&str>| ColumnSettings {
            text: Some(text.into()),
            url: url.map(Into::into),
            ..ColumnSettings::default()
        };
        assert_eq!(found(fields, &named("a.b", Some("body"))), ["a.b", "-", "body", "-", "-", "-"]);
        let refused = |settings: &ColumnSettings| {
            let error = Columns::recognise(&schema(fields), settings, "s/1.parquet").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corpus);
            error.to_string()
        };
        // A text column of numbers is none, and neither is a list.
        let told = refused(&ColumnSettings::default());
        assert!(told.contains("shard=s/1.parquet") && told.contains("tags (BYTE_ARRAY list)"), "{told}");
        assert!(told.ends_with("remedy=--set source.columns.text=NAME"), "{told}");
        assert!(refused(&named("tags", None)).contains("wanted=tags"));
        assert!(refused(&named("body", Some("link"))).contains("no url column"));
    }

    #[test]
    fn langs_are_told_by_tag_code_and_script() {
        let por = Lang::from_tag("por_Latn").unwrap();
        let mut langs = Langs::default();
        for (language, script) in [
            ("por", "Latn"),
            ("por_Latn", ""),
            ("por_Latn", "Latn"),
            ("pt", ""),
            ("pt-BR", ""),
            ("por", ""),
            ("PT", ""),
        ] {
            assert_eq!(langs.of(language, script), por, "{language} {script}");
        }
        for (language, script) in [("", ""), ("por", "Cyrl"), ("xx", ""), ("xxx_Latn", ""), ("", "Latn")] {
            assert_eq!(langs.of(language, script), Lang::UND, "{language} {script}");
        }
    }
}
