//! A frozen codebook: the topics whose cells selection fills.
//!
//! **Why**: a quota per topic needs topics that never move. Clusters found in the data move with every row; a list of
//! topics written down once, each a sentence and its vector, does not. A new list is a new version and a new fingerprint.
//!
//! The file: `ISOCODE1`, then little-endian: length and bytes of the version, dimensions and count as `u32`, per code the
//! length and bytes of its name, all vectors as `i8`, and the 64-bit xxh3 of everything before it.

use super::ending::{End, ask_vector};
use crate::error::{Error, Result};
use crate::llm::Desk;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8] = b"ISOCODE1";
/// The key under which settings name a codebook.
const KEY: &str = "select.codebook";
/// The codebook that comes with the program.
pub const SHIPPED: &str = "topics-1";
/// The codebook of one cell.
const NONE: &str = "none";

/// Codes, each with a name and an int8 vector (component × 127).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codebook {
    /// Name and version, as in `topics-1`.
    pub version: String,
    /// The topics.
    pub names: Vec<String>,
    /// Components of a vector; 0 in the codebook of one cell, which fits every vector.
    pub dims: usize,
    /// All vectors, one after the other.
    pub vectors: Vec<i8>,
}

impl Codebook {
    /// One cell for everything: no quota by topic.
    pub fn none() -> Self {
        Self { version: NONE.to_owned(), names: vec!["all".to_owned()], dims: 0, vectors: Vec::new() }
    }

    /// The codebook of a built-in name, `none` or `topics-1`; `None` for other names, which are files.
    pub fn named(name: &str) -> Option<Result<Self>> {
        match name {
            NONE => Some(Ok(Self::none())),
            SHIPPED => Some(Self::parse(include_bytes!("../../data/codebooks/topics-1.bin"))),
            _ => None,
        }
    }

    /// The codebook that settings name: a built-in one or a file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file cannot be read or is no codebook.
    pub fn open(name: &str) -> Result<Self> {
        if let Some(built_in) = Self::named(name) {
            return built_in;
        }
        let bytes = std::fs::read(name).map_err(|cause| {
            Error::config(format!(
                "codebook unreadable: key={KEY}, value={name:?}, range=topics-1, none or a file, remedy=build one with `isogloss codebook FROM.tsv TO.bin`"
            ))
            .because(cause)
        })?;
        Self::parse(&bytes)
    }

    /// Reads a codebook.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the bytes are cut, changed or no codebook.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let broken = |why: &str| {
            Error::config(format!(
                "codebook unreadable: {why}: key={KEY}, remedy=build it again with `isogloss codebook FROM.tsv TO.bin`"
            ))
        };
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(|| broken("too short"))?;
        let mut rest = body.strip_prefix(MAGIC).ok_or_else(|| broken("not a codebook"))?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(broken("bytes changed"));
        }
        let book = Self::body(&mut rest).ok_or_else(|| broken("cut short"))?;
        if !rest.is_empty() || book.names.is_empty() || book.dims == 0 {
            return Err(broken("no codes, or more than its codes"));
        }
        Ok(book)
    }

    fn body(rest: &mut &[u8]) -> Option<Self> {
        let version = text(rest)?;
        let (dims, count) = (number(rest)?, number(rest)?);
        // A count that lies must not reserve memory: names are read one by one.
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(text(rest)?);
        }
        let vectors = take(rest, dims.checked_mul(count)?)?;
        let vectors = vectors.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        Some(Self { version, names, dims, vectors })
    }

    /// The bytes that [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is too large for the format.
    pub fn write(&self) -> Result<Vec<u8>> {
        let size = |value: usize| {
            u32::try_from(value)
                .map(u32::to_le_bytes)
                .map_err(|_| Error::config(format!("codebook too large: key={KEY}")))
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(size(self.version.len())?);
        bytes.extend(self.version.as_bytes());
        bytes.extend(size(self.dims)?);
        bytes.extend(size(self.names.len())?);
        for name in &self.names {
            bytes.extend(size(name.len())?);
            bytes.extend(name.as_bytes());
        }
        bytes.extend(self.vectors.iter().flat_map(|component| component.to_le_bytes()));
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// Name, version and a hash of names and vectors: part of the fingerprint.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn identity(&self) -> Result<String> {
        Ok(format!("{}+{:016x}", self.version, xxh3_64(&self.write()?)))
    }

    /// Vectors of so many components have a cell here.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if not.
    pub fn fits(&self, dims: usize) -> Result<()> {
        if self.dims == 0 || self.dims == dims {
            return Ok(());
        }
        Err(Error::config(format!(
            "codebook of another model: key={KEY}, value={}, dims={}, wanted={dims}, remedy=build one with the endpoint \
             of roles.embed (`isogloss codebook FROM.tsv TO.bin`), or set it to \"none\"",
            self.version, self.dims
        )))
    }

    /// The cell of a vector: the code with the greatest dot product; equal ones go to the least hash of the name, so that
    /// the order of the list means nothing.
    ///
    /// # Errors
    /// As [`fits`](Self::fits).
    pub fn nearest(&self, vector: &[i8]) -> Result<u32> {
        self.fits(vector.len())?;
        if self.dims == 0 {
            return Ok(0);
        }
        let dot = |code: &[i8]| -> i32 {
            code.iter().zip(vector).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
        };
        let codes = self.vectors.chunks_exact(self.dims).zip(&self.names).zip(0_u32..);
        let best = codes.max_by_key(|((code, name), _)| (dot(code), u64::MAX - xxh3_64(name.as_bytes())));
        Ok(best.map_or(0, |(_, cell)| cell))
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = take(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = number(rest)?;
    String::from_utf8(take(rest, length)?.to_vec()).ok()
}

/// Topics of a list: a first line `# version`, then `name TAB sentence` a line.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the line, if one is broken or a name stands twice.
pub fn topics_of(tsv: &str) -> Result<(String, Vec<(String, String)>)> {
    let broken =
        |what: &str, line: usize| Error::config(format!("topics unreadable: {what}: line={}", line + 1));
    let mut lines = tsv.lines().enumerate();
    let version = lines.next().and_then(|(_, line)| line.strip_prefix("# ")).map(str::trim);
    let version = version.filter(|version| !version.is_empty()).ok_or_else(|| broken("no `# version`", 0))?;
    let mut topics: Vec<(String, String)> = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let (name, sentence) = line.split_once('\t').ok_or_else(|| broken("no tab", at))?;
        if name.is_empty() || sentence.trim().is_empty() || topics.iter().any(|(known, _)| known == name) {
            return Err(broken("a name is empty or stands twice, or its sentence is empty", at));
        }
        topics.push((name.to_owned(), sentence.trim().to_owned()));
    }
    if topics.is_empty() {
        return Err(broken("no topic", 0));
    }
    Ok((version.to_owned(), topics))
}

/// Builds the bytes of a codebook from a list of topics with the vectors of an endpoint.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) for a broken list or an endpoint without vectors, and what the endpoint
/// says.
pub async fn build(desk: &Desk, tsv: &str) -> Result<Vec<u8>> {
    let (version, topics) = topics_of(tsv)?;
    let mut book = Codebook { version, names: Vec::new(), dims: 0, vectors: Vec::new() };
    for (name, sentence) in topics {
        let vector = match ask_vector(desk, format!("{name}\n{sentence}")).await {
            Ok(vector) => vector,
            Err(End::Run(error)) => return Err(error),
            Err(_) => return Err(Error::unavailable(format!("endpoint gave no vector: topic={name:?}"))),
        };
        if book.dims != 0 && book.dims != vector.len() {
            return Err(Error::unavailable(format!(
                "endpoint gave vectors of several sizes: topic={name:?}"
            )));
        }
        book.dims = vector.len();
        book.names.push(name);
        book.vectors.extend(vector);
    }
    book.write()
}

#[cfg(test)]
mod tests;
