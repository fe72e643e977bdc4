//! The protocol.

pub mod config;
pub mod manifest;
