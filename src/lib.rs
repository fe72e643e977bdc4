//! Hitchline ties a Slack thread to an agent session.

pub mod admin;
pub mod backend;
pub mod backoff;
pub mod byte_size;
pub mod cli;
pub mod clock;
pub mod domain;
pub mod duration;
pub mod http_client;
pub mod inbox;
pub mod outbox;
pub mod scope;
pub mod secret;
pub mod session;
pub mod settings;
pub mod simulator;
pub mod slack;
pub mod store;
pub mod supervisor;
pub mod telemetry;
