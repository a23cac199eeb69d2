//! Exchanges to Arrow columns.
