//! The sessions of older clients of the protocol: which grant each id belongs to.
//!
//! The library keeps them, lets them expire, and does not ask who uses one. An id is no credential: it counts with the token alone under
//! which it was given out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

use super::grants::Grants;
use crate::domain::ids::GrantId;

/// How many one agent may have; with a further one its oldest ends.
const MOST: usize = 8;

/// Ids by grant, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Bound(Mutex<VecDeque<(Arc<str>, GrantId)>>);

impl Bound {
    /// Whether an id was given out under this grant.
    pub(super) fn belongs(&self, id: &str, grant: GrantId) -> bool {
        self.ids().iter().any(|(bound, owner)| **bound == *id && *owner == grant)
    }

    /// Notes an id that was just given out. Returns those that end with that: the grant's oldest when it has too many, and what was left
    /// by grants that are no longer good.
    pub(super) fn note(&self, id: &str, grant: GrantId, grants: &Grants) -> Vec<Arc<str>> {
        let mut ids = self.ids();
        ids.push_back((id.into(), grant));
        let mut too_many = ids.iter().filter(|(_, owner)| *owner == grant).count().saturating_sub(MOST);
        let mut ended = Vec::new();
        ids.retain(|(id, owner)| {
            let is_oldest = *owner == grant && too_many > 0;
            too_many -= usize::from(is_oldest);
            let stays = !is_oldest && grants.knows(*owner);
            if !stays {
                ended.push(id.clone());
            }
            stays
        });
        ended
    }

    /// Forgets an id that the library does not know any more.
    pub(super) fn forget(&self, id: &str) {
        self.ids().retain(|(bound, _)| **bound != *id);
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, VecDeque<(Arc<str>, GrantId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends sessions of the library's.
pub(super) async fn close(library: &LocalSessionManager, ids: Vec<Arc<str>>) {
    for id in ids {
        if let Err(error) = library.close_session(&id).await {
            tracing::debug!(%error, "A client's session had ended before");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::ids::SessionId;

    #[test]
    fn an_id_counts_with_its_own_grant_alone() {
        let (bound, grants) = (Bound::default(), Grants::default());
        let now = Clock::system().now();
        let (one, _) = grants.issue(SessionId::new(), now);
        let (two, _) = grants.issue(SessionId::new(), now);
        assert!(bound.note("a", one, &grants).is_empty());
        assert!(bound.note("b", two, &grants).is_empty());
        assert!(bound.belongs("a", one) && bound.belongs("b", two));
        assert!(!bound.belongs("a", two) && !bound.belongs("c", one));
        bound.forget("a");
        assert!(!bound.belongs("a", one));
    }

    #[test]
    fn the_oldest_of_too_many_ends_and_so_does_what_nobody_can_use() {
        let (bound, grants) = (Bound::default(), Grants::default());
        let now = Clock::system().now();
        let (one, _) = grants.issue(SessionId::new(), now);
        let (two, _) = grants.issue(SessionId::new(), now);
        assert!((0..MOST).all(|n| bound.note(&n.to_string(), one, &grants).is_empty()));
        assert!(bound.note("other", two, &grants).is_empty(), "each agent has its own");
        assert_eq!(bound.note("more", one, &grants), [Arc::from("0")]);
        grants.revoke(two);
        assert_eq!(bound.note("again", one, &grants), [Arc::from("1"), Arc::from("other")]);
    }
}
