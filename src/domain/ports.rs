//! What a lower room needs from a higher or a sibling one. The supervisor hands the implementations over.

mod slack;

use async_trait::async_trait;

use super::agent::ToolAccess;
use super::conversation::ConversationKey;
use super::ids::{GrantId, OfferId, SessionId, TurnId};
use super::inbound::Inbound;
use super::outgoing::Owed;
use super::session::SessionRecord;

pub use self::slack::*;

/// Takes what a socket received; `inbox` implements it, `slack` calls it.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Keeps `inbound`; when this returns `Ok`, its envelope may be acknowledged.
    ///
    /// # Errors
    /// [`NotStored`] when it could not be committed in time: the acknowledgement is withheld, so that Slack delivers again.
    async fn deliver(&self, inbound: Inbound) -> Result<Receipt, NotStored>;

    /// Takes note that Slack has left deliveries out, because there were too many in an hour: they are to be read back.
    fn left_out(&self) {}
}

/// What became of a delivered inbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is committed.
    Stored,
    /// It had come before.
    Duplicate,
    /// It is not for us.
    Ignored,
}

/// The store could not commit in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not stored: {0}")]
pub struct NotStored(pub String);

/// What the session room makes of an inbound before it is stored, and is told afterwards; the inbox calls it.
///
/// This is what lets a prompt's intent share the event's commit: the claim is decided in memory, without I/O, and settled when the
/// commit is known.
pub trait Intake: Send + Sync {
    /// Says how to keep `inbound`. A claim with an intent reserves the conversation until it is settled.
    fn claim(&self, inbound: &Inbound) -> Claim;

    /// Tells what became of a claim. Called exactly once for each [`Claim::Keep`].
    fn settle(&self, inbound: Inbound, keep: Keep, outcome: Settled);
}

/// How an inbound is to be kept.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Not for us: acknowledge, count under this reason, don't store.
    Drop(&'static str),
    /// Store it.
    Keep(Keep),
}

/// What an inbound waits behind before it is handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Line {
    /// The earlier messages to its conversation's agent, and their answers.
    #[default]
    Turn,
    /// The earlier commands of its conversation, and their answers.
    Command,
    /// Nothing: it acts on the turn that runs.
    AtOnce,
}

/// The conditions under which an inbound is stored.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Only when its conversation has an active mapping: a message in a thread that does not mention us.
    pub only_if_followed: bool,
    /// What it waits behind.
    pub line: Line,
    /// The conversation in whose line it waits, where that is another than its own thread: a whole channel.
    pub conversation: Option<ConversationKey>,
    /// The turn that it starts at once, when its conversation is idle.
    pub intent: Option<Intent>,
}

/// A turn about to start: written before the agent sees a byte.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The turn.
    pub turn: TurnId,
    /// The session it runs in.
    pub session: SessionId,
    /// The mapping to write along, when the session is new.
    pub new_session: Option<Box<SessionRecord>>,
    /// Whether the agent may see the prompt as soon as this is written, because its session is live. Otherwise that is noted in a commit
    /// of its own, just before the agent does.
    pub reached: bool,
    /// What the new session's creator may have; without it there is no limit. Means nothing without a new session.
    pub limit: Option<Limit>,
}

/// How many sessions a person may have. One counts while it works, and while it was used lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many, the new one included.
    pub max: u32,
    /// Since when a use is late enough, in milliseconds since the Unix epoch.
    pub since_ms: i64,
}

impl Keep {
    /// In whose line `inbound` waits.
    pub fn queue(&self, inbound: &Inbound) -> ConversationKey {
        self.conversation.clone().unwrap_or_else(|| inbound.queue())
    }
}

impl Intent {
    /// A turn in a session that exists.
    pub fn follow(session: SessionId) -> Self {
        Self { turn: TurnId::new(), session, new_session: None, reached: false, limit: None }
    }

    /// The turn with which a session begins.
    pub fn begin(record: SessionRecord) -> Self {
        let (session, new_session) = (record.id, Some(Box::new(record)));
        Self { turn: TurnId::new(), session, new_session, reached: false, limit: None }
    }
}

/// What the session room makes of what was said while nobody listened, where that is too old to be simply answered; the catch-up
/// calls it.
pub trait Belated: Send + Sync {
    /// Whether `inbound` is for us even where no session is.
    fn is_addressed(&self, inbound: &Inbound) -> bool;

    /// Says how to keep `inbound` for later. As [`Intake::claim`], but nothing is reserved, begun or told to anybody.
    fn consider(&self, inbound: &Inbound) -> Claim;

    /// The rows with which a place hears, once, of what came there meanwhile; the first has the offer's own id.
    fn note(&self, place: &ConversationKey, offer: OfferId, away: Away) -> Vec<Owed>;

    /// Takes over such rows, which are committed.
    fn noted(&self, note: Vec<Owed>);
}

/// What came to a place while nobody listened, and was not answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Away {
    /// How many messages can still be answered.
    pub offered: usize,
    /// The age of the oldest of these, in whole milliseconds of Slack's time.
    pub oldest_ms: i64,
    /// How many are left for good: too old, or too many.
    pub expired: usize,
}

/// How a claim was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Committed, under this number.
    Stored {
        /// The event's place in the inbox.
        seq: i64,
        /// Whether the turn that was claimed for it is committed too. If not, because its session would be one too many, it waits like
        /// any other.
        begun: bool,
    },
    /// Committed as refused: too many are waiting in its conversation.
    Refused {
        /// The event's place in the inbox.
        seq: i64,
    },
    /// It had come before.
    Duplicate,
    /// It was to be kept only if followed, and is not; or it changes a message that does not wait.
    NotFollowed,
    /// It changed a message that waits.
    Applied,
    /// The store failed; nothing was written.
    Failed,
}

/// Lets the agent of a session reach its own conversation by tools; `mcp` implements it, the session room calls it.
pub trait Toolbox: Send + Sync {
    /// Makes a way in for an agent that is about to start, or to be restored, in `session`.
    fn grant(&self, session: SessionId) -> Grant;

    /// Closes a way in, at once. Safe to call twice.
    fn revoke(&self, grant: GrantId);
}

/// A way in for the agent of one session.
#[derive(Debug, Clone)]
pub struct Grant {
    /// By this it is closed again.
    pub id: GrantId,
    /// What the agent is told.
    pub access: ToolAccess,
}
