//! The web chat over HTTP, on the built binary with the simulator.

mod access;
mod daemon;
mod http;
mod messages;
mod restarts;
mod sessions;
mod streams;
