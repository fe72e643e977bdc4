//! Slack's protocol: Socket Mode, the Web API, and the translation between Slack's words and ours.

mod api;
pub mod blocks;
pub mod button;
pub mod config;
pub mod error;
pub mod events;
mod files;
mod history;
mod link;
pub mod manifest;
pub mod markdown;
mod pacer;
mod people;
mod read_back;
pub mod sockets;
mod surface;
pub mod text;
mod time;
mod trial;
pub mod wire;

pub use api::{Api, AuthTest};
pub use error::{ApiError, ApiErrorKind};
pub use link::LinkState;
pub use sockets::{Delivery, Entrance, LinkStatus, Listener, NoConnection, SocketParts, Tally};
pub use surface::Surface;
pub use trial::{ReadBack, Sample, Trial};
