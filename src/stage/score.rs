//! Scores English pairs.
