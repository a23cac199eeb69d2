//! Threshold on the score, fixed or by target rate.
