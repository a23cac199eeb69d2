//! Heuristics of quality.
