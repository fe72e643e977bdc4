//! The simulator over real sockets.

#[cfg(test)]
mod client;
mod faults;
mod logs;
mod people;
mod personality;
mod safety;
mod sockets;
mod web_api;
