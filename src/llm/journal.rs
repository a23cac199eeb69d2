//! Answers that were paid for, kept for ever.
