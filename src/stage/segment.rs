//! Cuts a document into fragments.
