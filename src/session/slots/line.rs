//! How the lines of a conversation stand.

use tokio::sync::OwnedSemaphorePermit;

use crate::domain::access::Admitted;

/// How many answers of one line may be on their way to Slack before its next message is begun.
const MOST_DELIVERING: usize = 4;

/// How one of a conversation's lines stands.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// The store may hold more for it, and one of its tasks is going to look.
    pub(super) more: bool,
    /// How many tasks only wait until their answers have been delivered.
    pub(super) delivering: usize,
}

/// Whether a line is being worked on.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// Nothing is in hand.
    #[default]
    Idle,
    /// A turn is being committed together with its event.
    Claimed(Box<Reserved>),
    /// A task has a message in hand, or looks for one.
    Running,
}

/// What was decided when a turn was claimed.
#[derive(Debug)]
pub(in crate::session) struct Reserved {
    pub(in crate::session) admitted: Admitted,
    pub(in crate::session) text: String,
    pub(in crate::session) place: OwnedSemaphorePermit,
}

impl State {
    /// Whether the line may be given to a further task.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.delivering < MOST_DELIVERING
    }

    /// Whether the line has no task at all.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.delivering == 0
    }
}
