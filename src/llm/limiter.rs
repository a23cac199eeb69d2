//! How many asks may be in flight, and how fast.
