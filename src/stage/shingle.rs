//! Shingles that fit the script.
