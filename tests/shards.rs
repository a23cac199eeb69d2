//! Reading other people's Parquet files: every row read or noted, whatever the file holds and however it broke.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test that finds its own data broken should panic"
)]

#[path = "shards/broken.rs"]
mod broken;
#[path = "shards/files.rs"]
mod files;
#[path = "shards/flow.rs"]
mod flow;
#[path = "shards/reading.rs"]
mod reading;
#[path = "shards/rereading.rs"]
mod rereading;
