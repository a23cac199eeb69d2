//! The five requests of the batch API.

use super::super::status::spoken;
use super::super::wire::Wire;
use crate::error::{Error, Result};
use crate::llm::Refusal;
use crate::model::Reason;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// What a batch's `metadata` says of us: the tag under which it is noted here.
const TAG: &str = "isogloss";

/// Most pages of the list of batches that are looked through for a tag: a hundred batches each.
const PAGES: usize = 50;

/// The addresses.
#[derive(Debug)]
pub(super) struct Urls {
    files: Url,
    batches: Url,
}

/// A batch, as the provider tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) output_file_id: Option<String>,
    #[serde(default)]
    pub(super) error_file_id: Option<String>,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    errors: Option<Value>,
}

impl Batch {
    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "expired" | "cancelled")
    }

    /// Whether it was not taken for now: too much is waiting already.
    pub(super) fn is_limited(&self) -> bool {
        let all = self.errors.as_ref().and_then(|errors| errors.get("data")).and_then(Value::as_array);
        let codes = all.into_iter().flatten().filter_map(|error| error.get("code").and_then(Value::as_str));
        codes.into_iter().any(|code| code.contains("limit"))
    }

    /// What is wrong with it, fit for a terminal.
    pub(super) fn trouble(&self, wire: &Wire) -> String {
        let errors = self.errors.as_ref().filter(|errors| !errors.is_null());
        errors.map_or_else(String::new, |errors| spoken(&wire.said(errors.to_string().as_bytes())))
    }
}

#[derive(Deserialize)]
struct Uploaded {
    id: String,
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<Batch>,
    #[serde(default)]
    has_more: bool,
}

impl Urls {
    pub(super) fn of(wire: &Wire) -> Result<Self> {
        Ok(Self { files: wire.address("files")?, batches: wire.address("batches")? })
    }

    /// The address of something the provider named: its name is no path.
    fn under(base: &Url, parts: &[&str]) -> Result<Url, Refusal> {
        let mut url = base.clone();
        let pushed = url.path_segments_mut().map(|mut path| {
            path.extend(parts);
        });
        pushed.map_err(|()| Refusal::Fatal(Error::bug("address without a path")))?;
        Ok(url)
    }

    /// Uploads the lines of a batch; gives the name of the file.
    pub(super) async fn upload(&self, wire: &Wire, tag: &str, lines: Vec<u8>) -> Result<String, Refusal> {
        let file: Uploaded =
            wire.post_file(&self.files, &[("purpose", "batch")], &format!("{tag}.jsonl"), lines).await?;
        Ok(file.id)
    }

    /// Submits an uploaded file.
    pub(super) async fn create(
        &self,
        wire: &Wire,
        (tag, file): (&str, &str),
        (endpoint, window): (&str, &str),
    ) -> Result<Batch, Refusal> {
        let body = json!({
            "input_file_id": file,
            "endpoint": endpoint,
            "completion_window": window,
            "metadata": { TAG: tag },
        });
        wire.post(&self.batches, &body).await
    }

    /// How a batch does.
    pub(super) async fn look(&self, wire: &Wire, id: &str) -> Result<Batch, Refusal> {
        wire.get(&Self::under(&self.batches, &[id])?).await
    }

    /// The batch of a tag, if it was submitted.
    pub(super) async fn find(&self, wire: &Wire, tag: &str) -> Result<Option<Batch>, Refusal> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let mut url = self.batches.clone();
            url.query_pairs_mut().append_pair("limit", "100");
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: Listed = wire.get(&url).await?;
            let last = page.data.last().map(|batch| batch.id.clone());
            let ours = |batch: &Batch| {
                batch.metadata.as_ref().and_then(|about| about.get(TAG)).is_some_and(|found| found == tag)
            };
            if let Some(found) = page.data.into_iter().find(ours) {
                return Ok(Some(found));
            }
            if !page.has_more || last.is_none() {
                return Ok(None);
            }
            after = last;
        }
        // What was not looked at is not known to be absent.
        Err(Refusal::Transient(Reason::GaveUp, format!("more than {PAGES} pages of batches: tag={tag}")))
    }

    /// Appends the content of a file of the provider to one of ours: at most so many bytes.
    pub(super) async fn download(&self, wire: &Wire, id: &str, to: &Path, most: u64) -> Result<(), Refusal> {
        wire.download(&Self::under(&self.files, &[id, "content"])?, to, most).await
    }
}
