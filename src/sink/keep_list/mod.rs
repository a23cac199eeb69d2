//! What `isogloss dedup` publishes: which rows stay, which clusters the others are in, which pairs say so.
//!
//! ```text
//! DIR/kept.parquet      id, shard, row                                 every row that stays, by (shard, row)
//! DIR/clusters.parquet  id, shard, row, cluster, survivor, size        rows of clusters of two or more
//! DIR/pairs.parquet     id, shard, row, other_id, other_shard, other_row, jaccard
//! DIR/rows/*.parquet    the kept rows in the shape of their shard, if wanted
//! DIR/manifest.json     shards, files, counts, one digest of all lists
//! ```
//! All of these are links through `DIR/current`, which is switched in one step.

mod lists;
mod manifest;
mod members;
mod rows;

pub use lists::Lists;
pub use manifest::{KeepList, ListFile};
pub use members::Counts;
pub(crate) use members::{Member, Pair};
pub use rows::kept_rows;
