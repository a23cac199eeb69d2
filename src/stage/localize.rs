//! Translates instructions back to the native language.
