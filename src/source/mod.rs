//! Where text comes from: shards, their columns, two ways of reading them, and credits that bound both.

pub mod columns;
pub mod credits;
pub mod list;
pub mod pack;
pub mod pages;
pub mod reread;
pub mod shard;

pub use credits::Credits;
