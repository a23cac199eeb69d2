//! The dataset card of a snapshot.
