//! A run on its way to another process.

use super::{Data, ENTRY, Run, RunMeta, entry_of};
use crate::error::Result;
use crate::state::damage::damaged;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// A run on its way to another process: by its bytes while it is small, else by its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Carried {
    file: String,
    rows: u64,
    width: usize,
    check: u128,
    bytes: Vec<u8>,
}

impl Run {
    /// For another process; `meta` where it has a file.
    pub(crate) fn carried(&self, meta: Option<&RunMeta>) -> Carried {
        let (rows, width) = (self.rows, self.width);
        match (meta, self.packed()) {
            (Some(meta), _) => {
                Carried { file: meta.file.clone(), rows, width, check: meta.check, bytes: Vec::new() }
            }
            (None, packed) => {
                let (bytes, check) = packed.unwrap_or_default();
                Carried { file: String::new(), rows, width, check, bytes }
            }
        }
    }

    /// Of another process, whose files are in `folder`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn arrived(folder: &Path, carried: Carried) -> Result<Self> {
        let Carried { file, rows, width, check, mut bytes } = carried;
        if !file.is_empty() {
            return Self::open(folder, &RunMeta { file, offset: 0, rows, width, check });
        }
        let length = usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(width);
        if length > bytes.len() || xxh3_128(&bytes[length..]) != check {
            return Err(damaged(folder, "a run was altered on its way"));
        }
        let index = bytes.split_off(length).chunks_exact(ENTRY).map(entry_of).collect();
        Ok(Self { data: Data::Memory(Arc::new(bytes)), rows, width, index })
    }
}
