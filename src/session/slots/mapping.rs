//! What is known about a conversation's session, and what runs for it.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Session;
use crate::domain::session::SessionRecord;

/// What is known about a conversation's session.
#[derive(Debug, Default)]
pub(in crate::session) enum Mapping {
    /// The store has not been asked.
    #[default]
    Unknown,
    /// There is none.
    None,
    /// There is one.
    Active(Box<Active>),
}

impl Mapping {
    /// An active one for which nothing runs.
    pub(in crate::session) fn asleep(record: SessionRecord) -> Self {
        Self::Active(Box::new(Active { record, live: None }))
    }
}

/// An active mapping and, when it is live, what the backend runs for it.
#[derive(Debug, Clone)]
pub(in crate::session) struct Active {
    pub(in crate::session) record: SessionRecord,
    pub(in crate::session) live: Option<Live>,
}

/// What a backend runs for a mapping.
#[derive(Debug, Clone)]
pub(in crate::session) struct Live {
    pub(in crate::session) session: Arc<dyn Session>,
    /// When it was last used.
    pub(in crate::session) used: Instant,
    /// Whether it stands in for one that was lost, and no turn has said so yet.
    pub(in crate::session) untold: bool,
}
