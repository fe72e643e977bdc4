//! The protocol.

pub mod config;
