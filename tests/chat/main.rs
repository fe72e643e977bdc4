//! The web chat over HTTP, on the built binary with the simulator.

mod access;
mod daemon;
mod http;
mod messages;
#[path = "../tools/process.rs"]
mod process;
mod restarts;
mod sessions;
mod streams;
