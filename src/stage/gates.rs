//! Checks that instructions and translations must pass.
