//! Reads admitted rows again and cuts them into bundles.
