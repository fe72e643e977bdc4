//! Ways in for agents, of which is only noted who has one.

use std::path::PathBuf;
use std::sync::Mutex;

use hitchline::domain::agent::ToolAccess;
use hitchline::domain::ids::{GrantId, SessionId};
use hitchline::domain::ports::{Grant, Toolbox};

use super::agent::locked;

#[derive(Debug, Default)]
pub(crate) struct Tickets {
    open: Mutex<Vec<(GrantId, SessionId)>>,
    given: Mutex<usize>,
}

impl Tickets {
    /// The sessions whose agents have a way in.
    pub(crate) fn holders(&self) -> Vec<SessionId> {
        locked(&self.open).iter().map(|(_, session)| *session).collect()
    }

    /// How many were given out.
    pub(crate) fn given(&self) -> usize {
        *locked(&self.given)
    }
}

impl Toolbox for Tickets {
    fn grant(&self, session: SessionId) -> Grant {
        let id = GrantId::new();
        locked(&self.open).push((id, session));
        *locked(&self.given) += 1;
        let (url, stdio_url, program) = ("http://tools".into(), "http://tools/stdio".into(), PathBuf::new());
        Grant { id, access: ToolAccess { url, stdio_url, token: id.to_string(), program } }
    }

    fn revoke(&self, grant: GrantId) {
        locked(&self.open).retain(|(id, _)| *id != grant);
    }
}
