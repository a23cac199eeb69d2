//! MinHash signatures.
