//! The simulator over real sockets.

#[cfg(test)]
mod client;
mod faults;
mod people;
mod safety;
mod sockets;
mod web_api;
