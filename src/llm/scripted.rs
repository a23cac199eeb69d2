//! An endpoint that answers by a script: for tests only.
