//! The operator's view of how agents' questions were settled.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Probes;
use super::sessions::{NoAnswer, time};
use crate::store::AuditEntry;

/// How many entries a list holds at most.
const LIST: usize = 1_000;

/// A question that was settled, without its command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// When.
    pub at: Timestamp,
    /// `decided`, `expired` (nobody did in time, or could), `withdrawn`, or `cut_off` by the end of our process.
    pub outcome: String,
    /// Who decided, where somebody did.
    pub decider: Option<String>,
    /// What the agent called the chosen option.
    pub option: Option<String>,
    /// What that means, such as `allow_once`.
    pub kind: Option<String>,
    /// Whose turn it was.
    pub requester: String,
    /// Where it was asked: team, channel and thread, or `web:` and a name.
    pub conversation: String,
    /// The session, while it is known.
    pub session: Option<String>,
    /// The turn.
    pub turn: Option<String>,
    /// The SHA-256 of the exact command, in hexadecimal digits.
    pub command_sha256: String,
}

impl From<AuditEntry> for Settled {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: time(entry.at_ms),
            outcome: entry.outcome,
            decider: entry.decider.map(|user| user.to_string()),
            option: entry.option,
            kind: entry.kind,
            requester: entry.requester.to_string(),
            conversation: entry.conversation.to_string(),
            session: entry.session.map(|session| session.to_string()),
            turn: entry.turn.map(|turn| turn.to_string()),
            command_sha256: entry.command,
        }
    }
}

/// `GET /audit`: the last 1000 questions that were settled in the last 90 days, the newest first.
pub(super) async fn list(State(probes): State<Probes>) -> Result<Json<Vec<Settled>>, NoAnswer> {
    let entries = probes.store.audit(LIST).await?;
    Ok(Json(entries.into_iter().map(Settled::from).collect()))
}
