//! Endpoints over HTTP.
