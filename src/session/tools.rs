//! What the tools of a session's agent do in its conversation.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{RequestId, SessionId, Ts};
use crate::domain::outgoing::Place;
use crate::domain::ports::{Upload, WriteError};
use crate::domain::session::SessionRecord;

use super::manager::{Inner, Manager};
use super::slots::Running;
use super::turn::{Question, ToolCall};

/// How long a file waits for what was said before it.
const SAID_BEFORE: Duration = Duration::from_secs(30);

/// Where a session stands whose agent calls a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The mapping.
    pub record: SessionRecord,
    /// What it works on, while a turn runs.
    pub asked: Option<Asked>,
}

/// What a turn works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The message that asked.
    pub message: Ts,
    /// Where it is answered: of a whole channel, the message's thread.
    pub at: ConversationKey,
}

/// Why a tool did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The session has ended.
    #[error("this session has ended")]
    SessionEnded,
    /// No turn runs, or it is being stopped.
    #[error("this works only while you answer a message, and nobody has asked you anything now")]
    NoTurn,
    /// Too many calls or questions wait already.
    #[error("too many of your questions wait for an answer already; wait for those first")]
    TooMany,
    /// It could not be written down; it may work later.
    #[error("Hitchline could not write it down; try again in a moment")]
    NotStored,
}

/// Why a file is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// Nobody was asked to.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// Slack did not take it.
    #[error(transparent)]
    Refused(#[from] WriteError),
}

impl Manager {
    /// Where a session stands; nothing when it has ended.
    pub fn caller(&self, session: SessionId) -> Option<Caller> {
        let (record, running) = self.0.slots().session(session)?;
        let asked = running.map(|running| Asked { message: running.asked, at: running.at });
        Some(Caller { record, asked })
    }

    /// Posts `markdown` into a session's conversation: while a turn runs, below everything that it said so far. It is owed when this
    /// returns; what the store does not take of a turn is committed with its end, at the latest.
    ///
    /// # Errors
    /// When the session has ended, or the store took nothing.
    pub async fn post(&self, session: SessionId, markdown: String) -> Result<(), NotDone> {
        let inner = self.0.clone();
        // Whoever called may hang up meanwhile.
        let posted = self.0.parts.scope.to_its_end("tool", async move { inner.post(session, markdown).await });
        posted.await.unwrap_or(Err(NotDone::NotStored))
    }

    /// Shows a file in a session's conversation: while a turn runs, below what it said so far.
    ///
    /// # Errors
    /// When the session has ended, or Slack did not take the file.
    pub async fn upload(&self, session: SessionId, file: Upload) -> Result<(), NotShown> {
        let (record, running) = self.0.slots().session(session).ok_or(NotDone::SessionEnded)?;
        let Some(Running { at, calls, .. }) = running else {
            return Ok(self.0.show_file(&Place::from(&record.conversation), file).await?);
        };
        // A turn that is over, or being stopped, says no more above it. What it said so far comes first, unless Slack takes too long over it.
        let (clock, outbox) = (&self.0.parts.clock, &self.0.parts.outbox);
        let said_before = async {
            let _over = told(&calls, ToolCall::BreakOff).await;
            outbox.settled(&at).await;
        };
        let _late = clock.timeout(SAID_BEFORE, said_before).await;
        self.0.show_file(&Place::from(&at), file).await?;
        let _over = calls.try_send(ToolCall::Shown);
        Ok(())
    }

    /// Asks the person whose turn runs in a session, or an admin, and waits for the answer: which of the choices it is, or nothing when
    /// nobody answered in time or the turn is over. When this is dropped, the question is withdrawn.
    ///
    /// # Errors
    /// When it was not asked.
    pub async fn ask(&self, session: SessionId, text: String, choices: Vec<String>) -> Result<Option<usize>, NotDone> {
        let (_, running) = self.0.slots().session(session).ok_or(NotDone::SessionEnded)?;
        let Running { calls, .. } = running.ok_or(NotDone::NoTurn)?;
        let id = RequestId::from(Uuid::new_v4().to_string());
        let (answer, answered) = oneshot::channel();
        let question = Question { id: id.clone(), text, choices, answer };
        match calls.try_send(ToolCall::Ask(question)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(NotDone::TooMany),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(NotDone::NoTurn),
        }
        let asking = Asking { id, calls };
        let answer = answered.await;
        drop(asking);
        answer.unwrap_or(Err(NotDone::NoTurn))
    }
}

/// A question whose answer somebody waits for.
struct Asking {
    id: RequestId,
    calls: mpsc::Sender<ToolCall>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        // A turn that is over has withdrawn it; one that has no ear for it now withdraws it at its end.
        let _over = self.calls.try_send(ToolCall::Withdraw(self.id.clone()));
    }
}

impl Inner {
    async fn post(&self, session: SessionId, markdown: String) -> Result<(), NotDone> {
        let (record, running) = self.slots().session(session).ok_or(NotDone::SessionEnded)?;
        let mut at = record.conversation;
        if let Some(running) = running {
            if told(&running.calls, |done| ToolCall::Post { markdown: markdown.clone(), done }).await {
                return Ok(());
            }
            at = running.at;
        }
        self.owe(self.say(&at, None, &markdown)).await.map(drop).map_err(|error| {
            tracing::warn!(conversation = %at, session.id = %session, %error, "What a tool posts was not written down");
            NotDone::NotStored
        })
    }
}

/// Whether a running turn took something on itself.
async fn told(calls: &mpsc::Sender<ToolCall>, call: impl FnOnce(oneshot::Sender<()>) -> ToolCall) -> bool {
    let (done, told) = oneshot::channel();
    calls.try_send(call(done)).is_ok() && told.await.is_ok()
}
