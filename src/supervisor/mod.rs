//! Builds everything in order, owns it, and lets it go in the reverse order.

pub mod config;
