//! Writes an English instruction that the English response answers.
