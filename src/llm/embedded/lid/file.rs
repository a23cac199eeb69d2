//! The file of a quantized fastText model, little-endian: arguments, dictionary, quantized rows, output rows.
//! Format: fastText's `Model::load`, `Dictionary::load`, `QMatrix::load` (version 12).

use super::labels::Labels;
use super::words::Words;
use super::{DIM, Lid, Vector};
use std::fmt::Display;

const MAGIC: i32 = 793_712_314;
const VERSION: i32 = 12;
const HIERARCHICAL_SOFTMAX: i32 = 1;
const SUPERVISED: i32 = 3;
/// What a quantizer maps a byte to.
const CENTROIDS: usize = 256;
/// More than any such model has, so that a broken count asks for no memory.
const MOST: usize = 10_000_000;

type Parsed<T> = Result<T, String>;

/// The model in a file's bytes.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Lid> {
    let mut file = Bytes { left: bytes };
    file.expect("the first number", MAGIC)?;
    file.expect("the version", VERSION)?;
    same("the width of vectors", file.count()?, DIM)?;
    file.skip(4 * 4)?;
    file.expect("word n-grams", 1)?;
    file.expect("the loss", HIERARCHICAL_SOFTMAX)?;
    file.expect("the kind of model", SUPERVISED)?;
    let buckets = file.count()?;
    let lengths = file.count()?..=file.count()?;
    file.skip(4 + 8)?;
    let buckets = u32::try_from(buckets).map_err(|_| "too many buckets")?.max(1);

    let size = file.count()?;
    let (words, labels) = (file.count()?, file.count()?);
    if words + labels != size || labels == 0 {
        return Err(format!("{words} words and {labels} labels of {size} entries"));
    }
    file.skip(8)?;
    // -1 for a dictionary that was not pruned.
    let pruned = file.long_count()?;
    let (mut vocabulary, mut names, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..size {
        let entry: Box<str> = file.string()?.into();
        let count = file.i64()?;
        match (file.byte()?, at < words) {
            (0, true) => vocabulary.push(entry),
            (1, false) => {
                names.push(entry.trim_start_matches("__label__").into());
                counts.push(count);
            }
            _ => return Err("words and labels are not in order".to_owned()),
        }
    }
    let kept = (0..pruned).map(|_| Ok((file.index()?, file.index()?))).collect::<Parsed<Vec<_>>>()?;

    file.flag("quantized rows", true)?;
    let rows = quantized(&mut file)?;
    let lost = |(bucket, row): &(u32, u32)| *bucket >= buckets || words + *row as usize >= rows.len();
    if words > rows.len() || kept.iter().any(lost) {
        return Err("an n-gram without a row".to_owned());
    }
    file.flag("quantized output rows", false)?;
    let (height, width) = (file.long_count()?, file.long_count()?);
    if width != DIM || height != labels {
        return Err(format!("{height} output rows of {width}"));
    }
    let decisions = (0..height).map(|_| file.vector()).collect::<Parsed<Box<[Vector]>>>()?;
    let words = Words::new(&rows, vocabulary.into(), kept, buckets, lengths);
    Ok(Lid { words, labels: Labels::new(names.into(), &counts, decisions) })
}

/// Rows by product quantization, their norms by a quantizer of their own.
fn quantized(file: &mut Bytes<'_>) -> Parsed<Box<[Vector]>> {
    file.flag("quantized norms", true)?;
    let (height, width, size) = (file.long_count()?, file.long_count()?, file.count()?);
    if width != DIM {
        return Err(format!("rows of {width}"));
    }
    let codes = file.take(size)?;
    let [dim, parts, part, last] = [file.count()?, file.count()?, file.count()?, file.count()?];
    if dim != DIM || parts * part != DIM || part != last || size != height * parts {
        return Err(format!("{size} codes for {height} rows of {dim} in {parts} parts of {part} and {last}"));
    }
    let centroids = (0..DIM * CENTROIDS).map(|_| file.f32()).collect::<Parsed<Vec<_>>>()?;
    let norm_codes = file.take(height)?;
    for of in
        ["the width of norms", "the parts of a norm", "the width of its part", "the width of its last part"]
    {
        file.expect(of, 1)?;
    }
    let norms = (0..CENTROIDS).map(|_| file.f32()).collect::<Parsed<Vec<_>>>()?;
    let row = |(codes, norm): (&[u8], &u8)| {
        let mut row = [0.0; DIM];
        for (at, value) in row.iter_mut().enumerate() {
            let code = (at / part * CENTROIDS + usize::from(codes[at / part])) * part;
            *value = norms[usize::from(*norm)] * centroids[code + at % part];
        }
        row
    };
    Ok(codes.chunks_exact(parts).zip(norm_codes).map(row).collect())
}

/// What is left of the file.
struct Bytes<'a> {
    left: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(length).ok_or("it ends too early")?;
        self.left = left;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Parsed<()> {
        self.take(length).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it ends too early".to_owned())
    }

    fn byte(&mut self) -> Parsed<u8> {
        self.array().map(|[byte]| byte)
    }

    fn i32(&mut self) -> Parsed<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Parsed<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn f32(&mut self) -> Parsed<f32> {
        self.array().map(f32::from_le_bytes)
    }

    fn vector(&mut self) -> Parsed<Vector> {
        let mut vector = [0.0; DIM];
        for value in &mut vector {
            *value = self.f32()?;
        }
        Ok(vector)
    }

    fn index(&mut self) -> Parsed<u32> {
        self.i32()?.try_into().map_err(|_| "a negative index".to_owned())
    }

    fn count(&mut self) -> Parsed<usize> {
        bounded(self.i32()?.into())
    }

    fn long_count(&mut self) -> Parsed<usize> {
        bounded(self.i64()?)
    }

    /// Up to its 0.
    fn string(&mut self) -> Parsed<&'a str> {
        let end = self.left.iter().position(|byte| *byte == 0).ok_or("it ends too early")?;
        let text = self.take(end)?;
        self.skip(1)?;
        std::str::from_utf8(text).map_err(|_| "a word that is not UTF-8".to_owned())
    }

    fn expect(&mut self, what: &str, value: i32) -> Parsed<()> {
        same(what, self.i32()?, value)
    }

    fn flag(&mut self, what: &str, value: bool) -> Parsed<()> {
        same(what, self.byte()? != 0, value)
    }
}

fn bounded(count: i64) -> Parsed<usize> {
    usize::try_from(count).ok().filter(|count| *count <= MOST).ok_or_else(|| format!("a count of {count}"))
}

fn same<T: PartialEq + Display>(what: &str, found: T, value: T) -> Parsed<()> {
    if found == value { Ok(()) } else { Err(format!("{what}: {found} where {value} is read")) }
}
