//! How shards are read: limits of a row, of a batch, and of all text in flight.

use super::columns::ColumnSettings;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The reader's settings. Only `columns` and `most_row_bytes` can change a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// Names of columns, where they are none of the known ones.
    pub columns: ColumnSettings,
    /// A row with more bytes of text is a fault, `1..=268435456`.
    pub most_row_bytes: u32,
    /// Rows that travel together, `1..=65536`.
    pub batch_rows: u32,
    /// Bytes of text that travel together, `1..=268435456`; one longer row travels alone.
    pub batch_bytes: u32,
    /// Rows in flight between reader and signature, per worker, `1..=16777216`.
    pub in_flight_rows: u32,
    /// Bytes of text in flight between reader and signature, per worker, `1..=68719476736`. One batch more may be:
    /// it is the unit. The reader itself holds up to three batches ahead.
    pub in_flight_bytes: u64,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            columns: ColumnSettings::default(),
            most_row_bytes: 4 << 20,
            batch_rows: 256,
            batch_bytes: 512 << 10,
            in_flight_rows: 4096,
            in_flight_bytes: 8 << 20,
        }
    }
}

impl SourceSettings {
    /// Checks every range; `key` is the path of this table in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let range = |field: &str, value: u64, range: RangeInclusive<u64>, remedy: &str| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!(
                "setting out of range: key={key}.{field}, value={value}, range={range:?}, remedy={remedy}"
            )))
        };
        self.columns.check(&format!("{key}.columns"))?;
        let most = 256 << 20;
        range("most_row_bytes", self.most_row_bytes.into(), 1..=most, "4194304 suits web pages")?;
        range("batch_rows", self.batch_rows.into(), 1..=65_536, "256 keeps a batch in the cache")?;
        range("batch_bytes", self.batch_bytes.into(), 1..=most, "524288 keeps a batch in the cache")?;
        range("in_flight_rows", self.in_flight_rows.into(), 1..=1 << 24, "16 batches")?;
        range("in_flight_bytes", self.in_flight_bytes, 1..=64 << 30, "16 batches")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_checked() {
        assert!(SourceSettings::default().check("source").is_ok());
        let told = |text: &str| {
            let settings: SourceSettings = toml::from_str(text).unwrap();
            settings.check("source").unwrap_err().to_string()
        };
        for field in ["most_row_bytes", "batch_rows", "batch_bytes", "in_flight_rows", "in_flight_bytes"] {
            let error = told(&format!("{field} = 0"));
            assert!(error.contains(&format!("key=source.{field}, value=0, range=1..=")), "{error}");
        }
        assert!(told("most_row_bytes = 268435457").contains("remedy="));
        assert!(told("columns.text = ''").contains("key=source.columns.text"));
    }
}
