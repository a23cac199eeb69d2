//! Bottom-k sample per lang.
