//! Publishes a snapshot in one step.
