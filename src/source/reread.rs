//! Reads single rows of a shard again.
