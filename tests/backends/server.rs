//! Servers behind a proxy, as the tests command them.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::amplifierd_server::Amplifierd;
use super::opencode_server::Opencode;
use super::peer::{Peer, soon};
use super::proxy::Proxy;

/// A server and the proxy before it.
pub(super) struct Server {
    pub(super) proxy: Proxy,
    pub(super) lines: Lines,
    behind: Behind,
}

/// Where it is asked for what: the ends of `METHOD /path`.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    pub(super) create: &'static str,
    pub(super) submit: &'static str,
    pub(super) cancel: &'static str,
}

/// What is behind the proxy.
enum Behind {
    Amplifierd(Mutex<Amplifierd>),
    /// One that tests share.
    Shared(#[expect(dead_code, reason = "it is held, and lets go when it is dropped")] Arc<Opencode>),
    /// One of its own.
    Own(Mutex<Opencode>),
}

impl Server {
    pub(super) async fn amplifierd() -> Self {
        let server = Amplifierd::start().await;
        let lines = Lines { create: "POST /sessions", submit: "/execute/stream", cancel: "/cancel" };
        let proxy = Proxy::before(&server.url()).await;
        Self { proxy, lines, behind: Behind::Amplifierd(Mutex::new(server)) }
    }

    pub(super) async fn opencode() -> Option<Self> {
        let server = Opencode::shared()?;
        let proxy = Proxy::before(&server.url).await;
        Some(Self { proxy, lines: OPENCODE, behind: Behind::Shared(server) })
    }

    /// One that can be killed.
    pub(super) async fn own_opencode() -> Option<Self> {
        let server = Opencode::start()?;
        let proxy = Proxy::before(&server.url).await;
        Some(Self { proxy, lines: OPENCODE, behind: Behind::Own(Mutex::new(server)) })
    }

    /// Whether it knows to ask for decisions, and who may be asked.
    pub(super) fn is_opencode(&self) -> bool {
        !matches!(self.behind, Behind::Amplifierd(_))
    }

    /// Kills it.
    pub(super) async fn kill(&self) {
        self.proxy.down().await;
        match &self.behind {
            Behind::Amplifierd(server) => server.lock().await.down().await,
            Behind::Shared(_) => panic!("others use it"),
            Behind::Own(server) => drop(server.lock().await.server.take()),
        }
    }

    /// Starts it again.
    pub(super) async fn revive(&self) {
        match &self.behind {
            Behind::Amplifierd(server) => server.lock().await.up().await,
            Behind::Shared(_) => panic!("it was not killed"),
            Behind::Own(server) => {
                let mut server = server.lock().await;
                server.revive();
                self.proxy.point_to(&server.url);
            }
        }
        self.proxy.up().await;
    }

    /// Makes it forget a session of which it is not told by `peer`.
    pub(super) async fn forget(&self, peer: &Peer, id: &hitchline::domain::session::BackendRef) {
        match &self.behind {
            Behind::Amplifierd(server) => server.lock().await.forget_all(),
            Behind::Shared(_) | Behind::Own(_) => {
                let another = peer.again();
                let seen = another.restore(id).await.unwrap();
                soon(seen.end(another.deadline())).await.unwrap();
            }
        }
    }
}

const OPENCODE: Lines = Lines { create: "POST /session", submit: "/prompt_async", cancel: "/abort" };
