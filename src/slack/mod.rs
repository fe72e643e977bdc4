//! Slack's protocol: Socket Mode, the Web API, and the translation between Slack's words and ours.

pub mod button;
pub mod events;
mod link;
pub mod text;
pub mod wire;
pub use link::LinkState;
//! The protocol.
pub mod config;
pub mod manifest;
