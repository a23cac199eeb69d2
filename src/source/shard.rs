//! One Parquet shard: its row groups, read as batches of rows.
