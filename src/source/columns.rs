//! Which columns of a shard hold text, id, address, licence and language.
