//! How asks are gathered into the batches of a provider.

use super::within;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Batches of an endpoint of `kind = "batch"`. None of it can change a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSettings {
    /// Most asks of a batch, `1..=50000`. Rows that wait for a batch are rows in flight: `source.in_flight_rows` and
    /// `source.in_flight_bytes` bound them first.
    pub rows: u32,
    /// Bytes of requests at which a batch is submitted, `1024..=209715200`; held in memory twice.
    pub bytes: u64,
    /// Seconds that the first ask of a batch waits for others, `0.0..=86400`.
    pub gather_seconds: f64,
    /// Seconds between two looks at a batch, `0.01..=3600`.
    pub poll_seconds: f64,
    /// What the provider is told to take at most, as in `24h`.
    pub window: String,
    /// What the lines of a batch are for, as the provider names it; one that ends with `/embeddings` makes it an endpoint
    /// of embeddings.
    pub endpoint: String,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            rows: 50_000,
            bytes: 64 << 20,
            gather_seconds: 60.0,
            poll_seconds: 30.0,
            window: "24h".to_owned(),
            endpoint: "/v1/chat/completions".to_owned(),
        }
    }
}

impl BatchSettings {
    /// Whether its lines ask for embeddings rather than chat.
    pub fn embeds(&self) -> bool {
        self.endpoint.ends_with("/embeddings")
    }

    /// Checks ranges; `key` is where it stands in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        let checks = [
            ("rows", f64::from(self.rows), 1.0..=50_000.0, "50000"),
            ("bytes", self.bytes as f64, 1024.0..=209_715_200.0, "67108864"),
            ("gather_seconds", self.gather_seconds, 0.0..=86_400.0, "60"),
            ("poll_seconds", self.poll_seconds, 0.01..=3600.0, "30"),
        ];
        checks
            .into_iter()
            .try_for_each(|(name, value, range, remedy)| within(key, name, value, range, remedy))?;
        for (name, value, remedy) in
            [("window", &self.window, "24h"), ("endpoint", &self.endpoint, "/v1/chat/completions")]
        {
            if value.is_empty() || value.len() > 64 {
                return Err(Error::config(format!(
                    "setting out of range: key={key}.{name}, value={value:?}, range=1 to 64 characters, remedy={remedy}"
                )));
            }
        }
        Ok(())
    }
}
