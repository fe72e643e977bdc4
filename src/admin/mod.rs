//! The operator's HTTP listener and the control socket.

pub mod config;
