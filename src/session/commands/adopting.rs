//! The agents' sessions that are being brought in right now. None is brought in twice at once: it would become two of ours.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::session::BackendRef;

/// Backend and name of each.
#[derive(Debug, Clone, Default)]
pub(in crate::session) struct Adopting(Arc<Mutex<HashSet<Name>>>);

type Name = (String, String);

/// Nobody else brings this one in while it lives.
#[derive(Debug)]
pub(super) struct Alone {
    all: Adopting,
    name: Name,
}

impl Adopting {
    /// Claims a session; nothing when somebody else brings it in.
    pub(super) fn claim(&self, backend: &str, backend_ref: &BackendRef) -> Option<Alone> {
        let name = (backend.to_owned(), backend_ref.0.clone());
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        free.then(|| Alone { all: self.clone(), name })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_brings_a_session_in() {
        let (adopting, name) = (Adopting::default(), BackendRef("s1".into()));
        let alone = adopting.claim("a", &name);
        assert!(alone.is_some() && adopting.claim("a", &name).is_none());
        assert!(adopting.claim("b", &name).is_some(), "another agent's");
        drop(alone);
        assert!(adopting.claim("a", &name).is_some());
    }
}
