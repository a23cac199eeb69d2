//! Rows for people.
