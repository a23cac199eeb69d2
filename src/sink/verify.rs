//! Proves rows against their source.
