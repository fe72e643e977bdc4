//! Hitchline ties a Slack thread to an agent session.
//!
//! A daemon that keeps Socket Mode connections to Slack, commits what it is told before it acknowledges it, runs one agent session for each
//! conversation, and owes Slack every answer until it has arrived. `README.md` says how it is used, `ARCHITECTURE.md` how it is made.
//!
//! # One message's way
//!
//! | step | room |
//! |---|---|
//! | a frame is read, and acknowledged once its event is on disk | [`slack`], [`inbox`], [`store`] |
//! | what it means, and whose turn it is | [`session`] |
//! | the agent works | [`backend`] |
//! | what it says is shown as it comes, and owed when it is complete | [`session`], [`outbox`], [`slack`] |
//!
//! [`supervisor`] builds the rooms, owns what they share, and stops them in order; [`domain`] holds the words that they have in common.
//! [`simulator`] is a Slack of our own, for trying things out and for tests; it shares no type with [`slack`].
//!
//! The library is the binary's: it makes no promise of stability to others.

pub mod admin;
pub mod backend;
pub mod backoff;
pub mod byte_size;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod domain;
pub mod duration;
pub mod http_client;
pub mod inbox;
pub mod mcp;
pub mod outbox;
pub mod probe;
pub mod scope;
pub mod secret;
pub mod session;
pub mod settings;
pub mod simulator;
pub mod slack;
pub mod store;
pub mod supervisor;
pub mod telemetry;
