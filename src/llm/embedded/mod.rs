//! Real models in this process: no server, no key, no network once the files are there.

pub mod lid;
