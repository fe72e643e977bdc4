//! Hitchline ties a Slack thread to an agent session.

pub mod backend;
pub mod backoff;
pub mod clock;
pub mod domain;
pub mod duration;
pub mod http_client;
pub mod inbox;
pub mod outbox;
pub mod scope;
pub mod secret;
pub mod session;
pub mod store;
pub mod telemetry;
