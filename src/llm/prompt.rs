//! Versioned prompts: minijinja files under `data/prompts`, strict, with hostile text fenced.
//!
//! **Why**: a prompt decides rows, so each has a name, a version and a hash that goes into the fingerprint and
//! the output's columns. Text of a corpus is written by strangers: it must not be able to end the place where
//! it stands, guess its markers, or speak a chat model's control tokens.
//!
//! A file is `<role>-<version>.<part>`, as in `instruct-1.user.j2`. A folder of the settings may replace files by
//! name. What follows `.j2` is rendered; other files are taken as they stand.

use crate::error::{Error, Result};
use minijinja::{Environment, UndefinedBehavior, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

macro_rules! built_in {
    ($($name:literal,)*) => {
        /// The files that come with the program: name and contents.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../data/prompts/", $name))),)*];
    };
}

built_in! {
    "instruct-1.system.j2",
    "instruct-1.user.j2",
    "localize-1.system.j2",
    "localize-1.user.j2",
    "recipe-1.ask.j2",
    "recipe-1.context.j2",
    "recipe-1.txt",
    "score-1.system.j2",
    "score-1.user.j2",
    "translate-1.system.j2",
    "translate-1.user.j2",
}

/// Every prompt of a run, parsed once.
pub struct Prompts {
    environment: Environment<'static>,
    files: BTreeMap<String, String>,
}

impl Prompts {
    /// The built-in files, with those of `folder` in the place of their namesakes.
    ///
    /// * `secret`: keys the markers of fences. The same secret and text give the same prompt, so the journal stays
    ///   warm; a corpus that does not know it cannot write a marker.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the folder cannot be read, holds a file that replaces
    /// nothing, or one that does not parse.
    pub fn open(folder: Option<&Path>, secret: u64) -> Result<Self> {
        let mut files: BTreeMap<String, String> =
            BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        for (name, text) in folder.map(read).transpose()?.unwrap_or_default() {
            let Some(place) = files.get_mut(&name) else {
                return Err(Error::config(format!(
                    "prompt replaces nothing: key=prompts, value={name:?}, range={:?}, remedy=rename the file",
                    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>()
                )));
            };
            *place = text;
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("fence", move |text: String| fence(secret, &text));
        for (name, text) in files.iter().filter(|(name, _)| has_end(name, ".j2")) {
            environment.add_template_owned(name.clone(), text.clone()).map_err(|cause| {
                Error::config(format!("prompt does not parse: key=prompts, value={name:?}")).because(cause)
            })?;
        }
        Ok(Self { environment, files })
    }

    /// Renders `<name>.<part>.j2`, without white space at its end.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file is unknown or uses a name that `facts` lacks.
    pub fn render(&self, name: &str, part: &str, facts: Value) -> Result<String> {
        let file = format!("{name}.{part}.j2");
        let text = self.environment.get_template(&file).and_then(|template| template.render(facts));
        let text = text.map_err(|cause| {
            Error::config(format!("prompt does not render: key=prompts, value={file:?}")).because(cause)
        })?;
        Ok(text.trim_end().to_owned())
    }

    /// A file as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if there is none of this name.
    pub fn text(&self, file: &str) -> Result<&str> {
        self.files.get(file).map(String::as_str).ok_or_else(|| Error::bug(format!("no prompt: {file}")))
    }

    /// By role: name and version, and a hash of all files of that name, as in `instruct-1+9f0c...`.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let mut contents: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (file, text) in &self.files {
            let name = file.split('.').next().unwrap_or_default();
            let bytes = contents.entry(name).or_default();
            for part in [file, text] {
                bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        let role = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
        contents
            .into_iter()
            .map(|(name, bytes)| (role(name), format!("{name}+{:016x}", xxh3_64(&bytes))))
            .collect()
    }
}

fn has_end(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some()
}

/// The files of a folder, by name. Hidden ones and folders are left alone.
fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let away = |cause: std::io::Error| {
        Error::config(format!("prompts unreadable: key=prompts, value={}", folder.display())).because(cause)
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(away)? {
        let entry = entry.map_err(away)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_file() {
            files.insert(name, std::fs::read_to_string(entry.path()).map_err(away)?);
        }
    }
    Ok(files)
}

/// Puts hostile text between two markers which the text cannot hold, on lines of their own, and takes the
/// force out of it ([`defuse`]). The markers are a keyed hash of the text itself: to write them into a text one
/// would have to know them before the text is complete.
pub fn fence(secret: u64, text: &str) -> String {
    let text = defuse(text);
    // One turn is enough unless the text holds its own hash.
    let mark = (0..u64::MAX)
        .map(|turn| mark_of(secret, turn, &text))
        .find(|mark| !text.contains(mark.as_str()))
        .unwrap_or_default();
    format!("[[{mark}\n{}\n{mark}]]", text.trim_matches('\n'))
}

/// A reply without the marker lines that a model may have repeated; `None` if a marker is left inside a line.
pub fn unfenced(reply: &str) -> Option<String> {
    let code = |mark: &str| mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
    let marker = |line: &str| {
        let line = line.trim();
        line.strip_prefix("[[").is_some_and(code) || line.strip_suffix("]]").is_some_and(code)
    };
    let kept: Vec<&str> = reply.lines().filter(|line| !marker(line)).collect();
    let mixed = kept.iter().any(|line| {
        line.split(|c: char| !c.is_ascii_hexdigit()).any(code) && (line.contains("[[") || line.contains("]]"))
    });
    (!mixed).then(|| kept.join("\n"))
}

fn mark_of(secret: u64, turn: u64, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(secret.to_le_bytes());
    hash.update(turn.to_le_bytes());
    hash.update(text.as_bytes());
    let mut mark = String::with_capacity(16);
    for byte in hash.finalize().iter().take(8) {
        let _ = write!(mark, "{byte:02x}");
    }
    mark
}

/// Beginnings and ends of control tokens that chat models read: broken by a space.
const TOKENS: [&str; 16] = [
    "<|",
    "|>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<pad>",
    "<unk>",
    "[SYSTEM_PROMPT]",
    "[TOOL_CALLS]",
];

/// Text without what a reader does not see and a model does: control codes, invisible tags, directions and
/// joiners at the wrong place stay out, and control tokens of chat models are broken by a space.
pub fn defuse(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !hidden(*c)).collect();
    for token in TOKENS {
        if plain.contains(token) {
            let mut chars = token.chars();
            let first: String = chars.by_ref().take(1).collect();
            plain = plain.replace(token, &format!("{first} {}", chars.as_str()));
        }
    }
    plain
}

/// Control codes but for tab and newline, marks of direction, tags and private use.
fn hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}')
        || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests;
