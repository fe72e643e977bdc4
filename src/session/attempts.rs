//! How often something is tried: each attempt is counted before it begins, and what was begun too often is given up.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::inbound::What;
use crate::domain::outgoing::Answers;
use crate::domain::ports::Line;
use crate::store::{CutOff, Queued, StoreError};

use super::conversation::Work;
use super::lines::{Delivered, Later};
use super::manager::Inner;
use super::slots::Slot;
use super::words;

/// How often the handling of one event is begun by itself.
pub(super) const ATTEMPTS: u32 = 3;

impl Inner {
    /// Handles what is next in a line.
    pub(super) async fn handle_next(self: &Arc<Self>, key: &ConversationKey, line: Line) -> Result<Delivered, Later> {
        let next = self.parts.store.next_in(key, line).await.map_err(|error| Later::because(key, &error))?;
        let Some(queued) = next else { return Ok(None) };
        self.slots().note_more(key, line);
        let Queued { seq, attempts, .. } = queued;
        let handling = AssertUnwindSafe(self.handle_queued(key, line, queued)).catch_unwind().await;
        match handling {
            Ok(handled) => handled,
            Err(_panic) => self.after_crash(key, line, seq, attempts).await,
        }
    }

    async fn handle_queued(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        queued: Queued,
    ) -> Result<Delivered, Later> {
        let Queued { seq, attempts, resumes, inbound } = queued;
        let inbound = match inbound {
            Ok(inbound) => inbound,
            Err(why) => return self.bury(key, seq, None, why.to_string(), words::UNREADABLE).await,
        };
        if attempts >= ATTEMPTS {
            let at = inbound.answered_at(key);
            let asked = inbound.message().cloned();
            return self.bury(&at, seq, asked, words::begun_in_vain(attempts), words::GIVEN_UP).await;
        }
        let admitted = self.admit(&inbound);
        match (&inbound.what, admitted) {
            (What::Message(message), Ok(admitted)) => {
                let (message, kind) = (message.clone(), inbound.channel_kind);
                self.handle(key, line, Work { seq, message, kind, admitted, intent: None, attempts, resumes }).await
            }
            (What::Slash(_) | What::Click(_), _) if !self.take_up(key, seq).await? => Ok(None),
            (What::Slash(slash), _) => self.slash(key, seq, &inbound, slash).await,
            (What::Click(click), Ok(by)) => self.press(key, seq, &inbound, click, &by).await,
            (What::Click(click), Err(denied)) => {
                self.refuse_press(key, click, denied);
                self.done(key, seq).await
            }
            (_, denied) => {
                tracing::info!(conversation = %key, seq, reason = ?denied.err(), "A stored message is passed over: its author may no longer");
                self.done(key, seq).await
            }
        }
    }

    /// Handles a message whose turn has begun with its own commit; its crash ends that turn, and nothing else.
    pub(super) async fn handle_begun(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        work: Work,
    ) -> Result<Delivered, Later> {
        let (seq, attempts) = (work.seq, work.attempts);
        match AssertUnwindSafe(self.handle(key, line, work)).catch_unwind().await {
            Ok(handled) => handled,
            Err(_panic) => self.after_crash(key, line, seq, attempts).await,
        }
    }

    /// Counts one more attempt before anything is done. Returns whether the event still waits.
    pub(super) async fn take_up(&self, key: &ConversationKey, seq: i64) -> Result<bool, Later> {
        self.parts.store.take_up(seq).await.map_err(|error| Later::because(key, &error))
    }

    /// Gives an event up, and tells its conversation, in answer to its message if it is one.
    async fn bury(
        &self,
        at: &ConversationKey,
        seq: i64,
        answers: Option<Ts>,
        reason: String,
        told: &str,
    ) -> Result<Delivered, Later> {
        tracing::error!(conversation = %at, seq, reason, "A message is given up; `hitchline dlq list` shows it");
        let mut owed = self.say(at, None, told);
        for row in &mut owed {
            row.answers = answers.clone().map(Answers::Finally);
        }
        let buried = self.parts.store.bury(seq, reason, owed.clone(), self.parts.clock.wall_ms()).await;
        let buried = buried.map_err(|error| Later::because(at, &error))?;
        Ok(buried.then(|| self.parts.outbox.send(owed).boxed()))
    }

    /// A crash ends one attempt, and nothing else. If the agent was not reached, there is another one after a pause; else people decide.
    /// The conversation goes on with a fresh start of its session.
    async fn after_crash(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        seq: i64,
        attempts: u32,
    ) -> Result<Delivered, Later> {
        tracing::error!(conversation = %key, seq, "A message's handling crashed; the conversation goes on");
        metrics::counter!("hitchline_task_crashes_total", "task" => "conversation").increment(1);
        // A command has no part in what runs.
        let mapped = self.slots().get(key).filter(|_| line == Line::Turn).and_then(Slot::active).cloned();
        if let Some(active) = mapped {
            self.let_go(&active.record).await;
        }
        let cut_off = loop {
            match self.broken_off(seq, attempts + 1).await {
                Ok(cut_off) => break cut_off,
                // The next start sees to it.
                Err(error) if self.is_over(key, &error).await => return Ok(None),
                Err(_again) => {}
            }
        };
        if let Some(cut_off) = cut_off {
            return Ok(self.close_cut_off(cut_off).await);
        }
        // After a pause.
        Err(Later)
    }

    /// The turn of an event that broke off, if it may have run; else the event waits again, after so many attempts at least.
    async fn broken_off(&self, seq: i64, attempts: u32) -> Result<Option<CutOff>, StoreError> {
        let cut_off = self.parts.store.cut_off_turn(seq).await?;
        if cut_off.is_none() {
            self.parts.store.give_back(seq, attempts).await?;
        }
        Ok(cut_off)
    }
}
