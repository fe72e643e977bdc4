//! The mapping between a conversation and what a backend runs for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::conversation::ConversationKey;
use super::ids::{SessionId, UserId};

/// A mapping, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Our id.
    pub id: SessionId,
    /// The conversation it answers in.
    pub conversation: ConversationKey,
    /// The configured name of its backend.
    pub backend: String,
    /// What the backend calls it; absent until the backend has created it.
    pub backend_ref: Option<BackendRef>,
    /// The directory in which the agent works.
    pub working_dir: PathBuf,
    /// The beginning of the first prompt, for lists.
    pub description: String,
    /// Who started it.
    pub creator: UserId,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it was last used, likewise.
    pub last_active_ms: i64,
    /// What people chose among its agent's own options: option and value, by the agent's names.
    pub options: BTreeMap<String, String>,
    /// Whether it lives. An ended one never comes back.
    pub status: SessionStatus,
}

/// Whether a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It may be prompted.
    Active,
    /// It was ended by a person, by its agent, or because its backend does not know it any more, or its channel is closed to us.
    Ended,
}

/// A backend's own name for a session: opaque to everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef(pub String);
