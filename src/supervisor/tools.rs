//! The agents' tools: their endpoint, and what it works with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::chat::Surfaces;
use crate::clock::Clock;
use crate::mcp::{Desk, Mcp, Parts};
use crate::session::Manager;
use crate::settings::Settings;
use crate::slack::Surface;

/// How long a session of an MCP client lives without a request, beside the time that a question to a person may take.
const CLIENT_IDLE: Duration = Duration::from_mins(5);

/// The endpoint, where there is a listener to reach it by.
pub(super) fn endpoint(
    address: Option<SocketAddr>,
    settings: &Settings,
    clock: &Clock,
    close: &CancellationToken,
) -> Option<Mcp> {
    let Some(address) = address else {
        tracing::info!("Agents get no tools for their conversations, because http.listen is empty");
        return None;
    };
    let program = std::env::current_exe().unwrap_or_else(|error| {
        tracing::warn!(%error, "Our own program can't be found; agents that don't speak MCP over HTTP look for it in PATH");
        "hitchline".into()
    });
    Some(Mcp::new(Parts {
        address,
        sessions: settings.http.mcp_sessions,
        idle: settings.sessions.approval_timeout + CLIENT_IDLE,
        program,
        clock: clock.clone(),
        close: close.clone(),
    }))
}

/// What the tools work with.
pub(super) fn desk(manager: &Manager, surface: &Arc<Surfaces<Surface>>) -> Desk {
    Desk { manager: manager.clone(), read: surface.clone(), reactions: surface.clone(), people: surface.clone() }
}
