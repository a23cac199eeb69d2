//! Single values of a batch, wherever they are nested: bytes, text, or the text of a number.

use super::columns::{Columns, Langs};
use crate::model::{Lang, Lineage};
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use parquet::schema::types::SchemaDescriptor;

/// One column of a batch, with the structs it lies in: a value is null where any of them is.
pub(super) struct Cells<'a> {
    around: Vec<&'a ArrayRef>,
    leaf: &'a ArrayRef,
    views: Option<&'a BinaryViewArray>,
}

impl<'a> Cells<'a> {
    /// The column of a leaf of the shard's schema; `None` if the batch lacks it.
    pub(super) fn of(batch: &'a RecordBatch, schema: &SchemaDescriptor, leaf: usize) -> Option<Self> {
        let path = schema.columns().get(leaf)?.path().parts();
        let (root, below) = path.split_first()?;
        let mut around = Vec::new();
        let mut array = batch.column_by_name(root)?;
        for name in below {
            around.push(array);
            array = array.as_struct_opt()?.column_by_name(name)?;
        }
        Some(Self { around, leaf: array, views: array.as_binary_view_opt() })
    }

    /// The bytes of a row; `None` if they are null or the column holds none.
    pub(super) fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        let null = self.leaf.is_null(row) || self.around.iter().any(|array| array.is_null(row));
        if null { None } else { self.views.map(|views| views.value(row)) }
    }

    /// The value of a row as text: a number in decimals, broken UTF-8 with replacements, null as nothing.
    pub(super) fn text(&self, row: usize) -> String {
        if let Some(bytes) = self.bytes(row) {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        if self.views.is_some() || self.around.iter().any(|array| array.is_null(row)) {
            return String::new();
        }
        array_value_to_string(self.leaf, row).unwrap_or_default()
    }
}

/// The columns of one batch.
pub(super) struct Record<'a> {
    pub(super) text: Option<Cells<'a>>,
    lang: Option<Cells<'a>>,
    script: Option<Cells<'a>>,
    id: Option<Cells<'a>>,
    url: Option<Cells<'a>>,
    license: Option<Cells<'a>>,
}

impl<'a> Record<'a> {
    pub(super) fn of(batch: &'a RecordBatch, schema: &SchemaDescriptor, columns: &Columns) -> Self {
        let cells = |leaf: Option<usize>| Cells::of(batch, schema, leaf?);
        Self {
            text: cells(Some(columns.text)),
            lang: cells(columns.lang),
            script: cells(columns.script),
            id: cells(columns.id),
            url: cells(columns.url),
            license: cells(columns.license),
        }
    }

    /// What the shard says of a row's language.
    pub(super) fn lang(&self, row: usize, langs: &mut Langs) -> Lang {
        let text = |cells: &Option<Cells<'a>>| {
            let bytes = cells.as_ref().and_then(|cells| cells.bytes(row));
            bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
        };
        langs.of(text(&self.lang), text(&self.script))
    }

    /// Where a row comes from, as far as the batch holds it.
    pub(super) fn lineage(&self, row: usize) -> Lineage {
        let text =
            |cells: &Option<Cells<'a>>| cells.as_ref().map(|cells| cells.text(row)).unwrap_or_default();
        Lineage { source_id: text(&self.id), url: text(&self.url), license: text(&self.license) }
    }
}
