//! The simulator over real sockets.

#[cfg(test)]
mod client;
mod faults;
#[cfg(test)]
mod files;
mod logs;
mod people;
mod personality;
mod safety;
mod sockets;
mod web_api;
