//! Who talks to which backend session, and for how long.

pub mod config;
