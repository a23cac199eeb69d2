//! Delete-only cleaning.
