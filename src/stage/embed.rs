//! Vectors and cells of English pairs.
