//! A session whose agent has tools: its way in is open as long as it runs, and closed before anything else is done to end it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::backend::error::BackendError;
use crate::backend::{Answered, Session, TurnStream};
use crate::domain::agent::{Decision, Offers, Prompt, ToolAccess};
use crate::domain::ids::{RequestId, SessionId};
use crate::domain::ports::{Grant, Toolbox};
use crate::domain::session::BackendRef;

/// An agent's way in. It closes when this is dropped, at the latest.
pub(super) struct WayIn {
    toolbox: Arc<dyn Toolbox>,
    grant: Grant,
}

impl WayIn {
    /// Opens a way in for the agent that is about to start in `session`.
    pub(super) fn open(toolbox: &Arc<dyn Toolbox>, session: SessionId) -> Self {
        Self { toolbox: toolbox.clone(), grant: toolbox.grant(session) }
    }

    /// What the agent is told.
    pub(super) fn access(&self) -> ToolAccess {
        self.grant.access.clone()
    }

    /// The session whose agent came up with this way in.
    pub(super) fn keep(way_in: Option<Self>, session: Arc<dyn Session>) -> Arc<dyn Session> {
        match way_in {
            Some(way_in) => Arc::new(Equipped { session, way_in }),
            None => session,
        }
    }

    fn close(&self) {
        self.toolbox.revoke(self.grant.id);
    }
}

impl Drop for WayIn {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for WayIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WayIn").field(&self.grant.id).finish()
    }
}

/// A session with its agent's way in.
#[derive(Debug)]
struct Equipped {
    session: Arc<dyn Session>,
    way_in: WayIn,
}

#[async_trait]
impl Session for Equipped {
    fn backend_ref(&self) -> BackendRef {
        self.session.backend_ref()
    }

    fn is_alive(&self) -> bool {
        self.session.is_alive()
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        self.session.prompt(prompt).await
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        self.session.cancel().await
    }

    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered {
        self.session.answer(request, decision).await
    }

    fn offers(&self) -> Offers {
        self.session.offers()
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        self.session.set_option(option, value).await
    }

    async fn release(&self, deadline: Instant) -> Result<(), BackendError> {
        self.way_in.close();
        self.session.release(deadline).await
    }

    async fn detach(&self, deadline: Instant) -> Result<(), BackendError> {
        self.way_in.close();
        self.session.detach(deadline).await
    }

    fn attach(&self) -> Option<String> {
        self.session.attach()
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        self.way_in.close();
        self.session.end(deadline).await
    }
}
