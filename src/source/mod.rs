//! Where text comes from.

pub mod pages;
