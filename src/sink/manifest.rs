//! What a snapshot holds and what it was made from.
