//! Writes Parquet files of every shape, breaks them, and opens them from memory.

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, DictionaryArray, LargeBinaryArray, LargeStringArray, RecordBatch,
    StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use isogloss::source::open::Blob;
use isogloss::source::{Open, Shard};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::{WriterProperties, WriterVersion};
use std::io;
use std::sync::Arc;

/// Every way to declare text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Utf8,
    LargeUtf8,
    Utf8View,
    Binary,
    LargeBinary,
    BinaryView,
    Dictionary,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Utf8,
    Kind::LargeUtf8,
    Kind::Utf8View,
    Kind::Binary,
    Kind::LargeBinary,
    Kind::BinaryView,
    Kind::Dictionary,
];

pub(crate) fn texts<S: AsRef<str>>(kind: Kind, values: &[Option<S>]) -> ArrayRef {
    let strings = || values.iter().map(|value| value.as_ref().map(AsRef::as_ref));
    let bytes = || strings().map(|value| value.map(str::as_bytes));
    match kind {
        Kind::Utf8 => Arc::new(strings().collect::<StringArray>()),
        Kind::LargeUtf8 => Arc::new(strings().collect::<LargeStringArray>()),
        Kind::Utf8View => Arc::new(strings().collect::<StringViewArray>()),
        Kind::Binary => Arc::new(bytes().collect::<BinaryArray>()),
        Kind::LargeBinary => Arc::new(bytes().collect::<LargeBinaryArray>()),
        Kind::BinaryView => Arc::new(bytes().collect::<BinaryViewArray>()),
        Kind::Dictionary => Arc::new(strings().collect::<DictionaryArray<Int32Type>>()),
    }
}

/// How a file is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) group_rows: usize,
    pub(crate) page_rows: usize,
    pub(crate) dictionary: bool,
    pub(crate) zstd: bool,
    pub(crate) version: WriterVersion,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            group_rows: 1000,
            page_rows: 100,
            dictionary: true,
            zstd: true,
            version: WriterVersion::PARQUET_1_0,
        }
    }
}

pub(crate) fn parquet(columns: Vec<(&str, ArrayRef)>, layout: Layout) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    written(&batch.unwrap(), layout)
}

pub(crate) fn written(batch: &RecordBatch, layout: Layout) -> Vec<u8> {
    let compression =
        if layout.zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(layout.group_rows))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows)
        .set_dictionary_enabled(layout.dictionary)
        .set_compression(compression)
        .set_writer_version(layout.version)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// Overwrites the data page of a column that holds a row of a row group; returns the page's first row.
pub(crate) fn break_page(file: &mut [u8], group: usize, column: &str, row: i64) -> i64 {
    let bytes = bytes::Bytes::copy_from_slice(file);
    let meta = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&bytes)
        .unwrap();
    let leaf =
        meta.row_group(group).columns().iter().position(|c| c.column_path().string() == column).unwrap();
    let pages = meta.page_index().unwrap().offset_index(group, leaf).unwrap().page_locations().clone();
    let page = pages.iter().rev().find(|page| page.first_row_index <= row).unwrap();
    let (start, length) =
        (usize::try_from(page.offset).unwrap(), usize::try_from(page.compressed_page_size).unwrap());
    // The header stays whole, so that what breaks is the page, and only it.
    let page_bytes = &mut file[start..start + length];
    let zstd = page_bytes.windows(4).position(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd]);
    page_bytes[zstd.unwrap_or(60)..].fill(0xff);
    page.first_row_index
}

/// Opens shards from memory. Reads that touch a byte in `dead` fail as a disk does.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) dead: Option<(usize, std::ops::Range<u64>)>,
}

impl Memory {
    pub(crate) fn new(files: Vec<Vec<u8>>) -> Self {
        Self { files, dead: None }
    }

    /// The shards, named so that their order is that of the files.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        let shard = |(at, file): (usize, &Vec<u8>)| Shard {
            key: format!("s/{at:03}.parquet"),
            path: format!("/nowhere/s/{at:03}.parquet").into(),
            bytes: file.len() as u64,
            modified_ns: 0,
        };
        self.files.iter().enumerate().map(shard).collect()
    }
}

impl Open for Memory {
    fn open(&self, shard: &Shard) -> io::Result<Arc<dyn Blob>> {
        let at: usize = shard.key[2..5].parse().unwrap();
        let dead = self.dead.clone().filter(|(file, _)| *file == at).map_or(0..0, |(_, range)| range);
        Ok(Arc::new(Held { bytes: self.files[at].clone(), dead }))
    }
}

struct Held {
    bytes: Vec<u8>,
    dead: std::ops::Range<u64>,
}

impl Blob for Held {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        let end = start + into.len() as u64;
        if start < self.dead.end && end > self.dead.start {
            return Err(io::Error::other("the disk is on fire"));
        }
        into.copy_from_slice(&self.bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
        Ok(())
    }
}
