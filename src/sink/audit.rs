//! One row per fragment that ended, and why.
