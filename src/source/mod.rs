//! Where text comes from.

pub mod pack;
pub mod pages;
