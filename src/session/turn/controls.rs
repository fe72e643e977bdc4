//! What people, and our own end, tell a turn that runs.

use tokio::sync::{mpsc, watch};

use super::tools::ToolCall;
use crate::backend::error::BackendError;
use crate::domain::access::Admitted;
use crate::domain::ids::ApprovalId;
use crate::domain::inbound::ReplyUrl;

/// Why a running turn is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum StopReason {
    /// A person wants it; the session stays.
    Stop,
    /// A newer message takes its place.
    Supersede,
    /// Its session has been ended by a person.
    End,
    /// We are stopping.
    Interrupt,
}

/// What a turn listens to, beside its agent.
pub(in crate::session) struct Controls {
    pub(in crate::session) stop: watch::Receiver<Option<StopReason>>,
    pub(in crate::session) presses: mpsc::Receiver<Press>,
    pub(in crate::session) calls: mpsc::Receiver<ToolCall>,
}

/// Waits for a reason to stop, or for a weightier one. Cancel safe.
pub(in crate::session) async fn stopped(stop: &mut watch::Receiver<Option<StopReason>>) -> Cancelling {
    while stop.changed().await.is_ok() {
        if let Some(why) = *stop.borrow_and_update() {
            return why.into();
        }
    }
    std::future::pending().await
}

/// A press of an approval's button.
#[derive(Debug)]
pub(in crate::session) struct Press {
    pub(in crate::session) id: ApprovalId,
    pub(in crate::session) option: usize,
    pub(in crate::session) by: Admitted,
    pub(in crate::session) reply: Option<ReplyUrl>,
}

/// Why a turn is being cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::session) enum Cancelling {
    Stopped,
    Superseded,
    Ended,
    Interrupted,
    TimedOut(BackendError),
}

impl From<StopReason> for Cancelling {
    fn from(why: StopReason) -> Self {
        match why {
            StopReason::Stop => Self::Stopped,
            StopReason::Supersede => Self::Superseded,
            StopReason::End => Self::Ended,
            StopReason::Interrupt => Self::Interrupted,
        }
    }
}
