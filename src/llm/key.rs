//! Keys, from the environment alone.
