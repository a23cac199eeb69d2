//! Reads row groups under credits.
