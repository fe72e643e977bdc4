//! Tools for agents: an MCP endpoint through which the agent of a session reaches its own conversation, and no other.
//!
//! `grants` says who may come in: each live session's agent has a token of its own, and the token decides the session. `endpoint` speaks
//! the protocol, `sessions` keeps the ids of its older clients apart, `waiting` lets those without an id take a call back. `tools` is what agents see of each tool, `desk` what it does, and
//! `own_file` opens what they upload. No argument names a conversation: what an agent was talked into does not lead elsewhere.

mod desk;
mod endpoint;
mod grants;
mod own_file;
mod sessions;
mod tools;
mod waiting;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use self::grants::Grants;
use self::waiting::Waiting;
use crate::clock::Clock;
use crate::domain::agent::ToolAccess;
use crate::domain::ids::{GrantId, SessionId};
use crate::domain::ports::{Grant, Toolbox};

pub use desk::Desk;

/// Where agents find it.
pub const PATH: &str = "/mcp";
/// Where our own program finds it, which serves agents over standard streams: there no client has sessions, whatever is configured.
pub const STDIO_PATH: &str = "/mcp/stdio";

/// How many files are uploaded at once: each is in memory as a whole. A further one waits.
const UPLOADS: usize = 4;

/// What the endpoint works with.
#[derive(Debug)]
pub struct Parts {
    /// Where the listener is reached.
    pub address: SocketAddr,
    /// Whether older clients get sessions.
    pub sessions: bool,
    /// How long a client's session lives without a request. A question to a person may take that long.
    pub idle: Duration,
    /// Our own program, for agents that don't speak HTTP.
    pub program: PathBuf,
    /// Time.
    pub clock: Clock,
    /// Ends whoever waits.
    pub close: CancellationToken,
}

/// The endpoint; cheap to clone.
#[derive(Clone)]
pub struct Mcp(Arc<Inner>);

/// What all requests share.
struct Inner {
    parts: Parts,
    grants: Arc<Grants>,
    /// There once there are sessions.
    desk: watch::Sender<Option<Desk>>,
    /// Places for files that are in memory.
    uploads: Semaphore,
    waiting: Waiting,
}

impl fmt::Debug for Mcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mcp").field(&self.0.parts).finish()
    }
}

impl Mcp {
    /// An endpoint that is not open yet: it says so to whoever calls a tool.
    pub fn new(parts: Parts) -> Self {
        let (desk, uploads) = (watch::Sender::new(None), Semaphore::new(UPLOADS));
        Self(Arc::new(Inner { parts, grants: Arc::default(), desk, uploads, waiting: Waiting::default() }))
    }

    /// Its routes.
    pub fn routes(&self) -> Router {
        endpoint::router(self)
    }

    /// What gives agents their way in.
    pub fn toolbox(&self) -> Arc<dyn Toolbox> {
        let Parts { address, program, clock, .. } = &self.0.parts;
        let base = format!("http://{}", reachable(*address));
        Arc::new(Door { grants: self.0.grants.clone(), base, program: program.clone(), clock: clock.clone() })
    }

    /// Takes calls from now on.
    pub fn open(&self, desk: Desk) {
        self.0.desk.send_replace(Some(desk));
    }

    /// Takes no calls any more.
    pub fn close(&self) {
        self.0.desk.send_replace(None);
    }
}

/// Gives out ways in. It holds nothing but the grants: the session room, which holds it, is what the desk works with.
struct Door {
    grants: Arc<Grants>,
    base: String,
    program: PathBuf,
    clock: Clock,
}

impl Toolbox for Door {
    fn grant(&self, session: SessionId) -> Grant {
        let (id, token) = self.grants.issue(session, self.clock.now());
        let Self { base, program, .. } = self;
        let (url, stdio_url) = (format!("{base}{PATH}"), format!("{base}{STDIO_PATH}"));
        Grant { id, access: ToolAccess { url, stdio_url, token, program: program.clone() } }
    }

    fn revoke(&self, grant: GrantId) {
        self.grants.revoke(grant);
    }
}

/// Under which address somebody on this machine reaches a listener.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let loopback = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        own => own,
    };
    SocketAddr::new(loopback, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_this_machine() {
        for (listener, reached) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:2", "127.0.0.1:2"),
            ("[::]:3", "[::1]:3"),
            ("192.0.2.7:4", "192.0.2.7:4"),
        ] {
            assert_eq!(reachable(listener.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
