//! Writes the parts of each lang and shard.
