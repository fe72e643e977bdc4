//! Slack's protocol: Socket Mode, the Web API, and the translation between Slack's words and ours.

pub mod button;
pub mod config;
pub mod events;
mod link;
pub mod manifest;
pub mod sockets;
pub mod text;
pub mod wire;

pub use link::LinkState;
pub use sockets::{LinkStatus, SocketParts};
