//! The words everyone shares. No I/O, no runtime, and no import from another room.

pub mod access;
pub mod agent;
pub mod command;
pub mod conversation;
pub mod ids;
pub mod inbound;
pub mod outgoing;
pub mod ports;
pub mod session;
pub mod visible;
