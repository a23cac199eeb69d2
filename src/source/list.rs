//! The wanted shards: files, folders and globs to a sorted list of keys.
