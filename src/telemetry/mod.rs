//! Counters, progress and the final table.
