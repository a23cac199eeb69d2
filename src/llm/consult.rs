//! The asynchronous operator of the model stages.
