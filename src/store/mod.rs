//! What survives a restart.

pub mod config;
