//! Translates responses to English.
