//! What people wait for is committed, however often that takes, and then owed to Slack.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::domain::conversation::ConversationKey;
use crate::domain::outgoing::{Answers, Owed, Place};
use crate::domain::ports::Intent;
use crate::outbox::Fate;
use crate::store::{StoreError, TurnEnd};

use super::conversation::Work;
use super::lines::Delivered;
use super::manager::Inner;
use super::turn::Finished;
use super::words;

/// The pause between attempts to commit a turn's end.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

impl Inner {
    /// Commits the turn's end with what is owed for it, however often that takes, and hands it to the outbox.
    pub(super) async fn close_turn(
        &self,
        key: &ConversationKey,
        work: &Work,
        intent: &Intent,
        mut finished: Finished,
    ) -> Delivered {
        for row in &mut finished.owed {
            row.answers.get_or_insert_with(|| Answers::Finally(work.message.ts.clone()));
        }
        let session_ended = finished.session_ended().then(|| key.clone());
        metrics::counter!("hitchline_turns_total", "outcome" => finished.outcome).increment(1);
        let end = TurnEnd {
            turn: intent.turn,
            seq: work.seq,
            session: intent.session,
            outcome: finished.outcome,
            session_ended,
            owed: finished.owed,
            now_ms: self.parts.clock.wall_ms(),
        };
        let dropped = loop {
            match self.parts.store.finish_turn(end.clone()).await {
                Ok(dropped) => {
                    self.holds.turn_ended();
                    break dropped;
                }
                Err(error) if self.is_over(key, &error).await => return None,
                Err(_again) => {}
            }
        };
        let delivered = self.parts.outbox.send(end.owed).boxed();
        if dropped > 0 {
            self.tell_dropped(key, dropped).await;
        }
        Some(delivered)
    }

    /// Tells the author of a message that was written to a session which has ended, or moved, before its turn came.
    pub(super) fn tell_not_passed_on(self: &Arc<Self>, at: &ConversationKey, work: &Work) {
        let (slack, place, user) = (self.parts.slack.clone(), Place::from(at), work.admitted.user().clone());
        let body = self.first_part(at.markup(), words::NOT_PASSED_ON);
        self.aside(async move { slack.whisper(&place, &user, &body).await });
    }

    /// Says that messages which waited for a session ended with it.
    async fn tell_dropped(&self, key: &ConversationKey, dropped: usize) {
        self.slots().unmark_all(key);
        let told = self.say(key, None, words::not_passed_on(dropped).trim_start());
        match self.owe(told).await {
            Ok(sent) => drop(sent),
            Err(error) => {
                tracing::warn!(conversation = %key, dropped, %error, "Nobody is told that waiting messages ended with their session");
            }
        }
    }

    /// Answers a message durably, and marks it as handled.
    pub(super) async fn answer(&self, key: &ConversationKey, seq: i64, markdown: &str) -> Delivered {
        self.answer_with(key, seq, self.say(key, None, markdown)).await
    }

    /// The same with rows of any kind.
    pub(super) async fn answer_with(&self, key: &ConversationKey, seq: i64, owed: Vec<Owed>) -> Delivered {
        let now_ms = self.parts.clock.wall_ms();
        while let Err(error) = self.parts.store.owe(owed.clone(), Some(seq), now_ms).await {
            if self.is_over(key, &error).await {
                return None;
            }
        }
        Some(self.parts.outbox.send(owed).boxed())
    }

    /// Waits before the next attempt to commit what people wait for. Returns whether there is none, because everything stops.
    pub(super) async fn is_over(&self, key: &ConversationKey, error: &StoreError) -> bool {
        tracing::error!(conversation = %key, %error, "What somebody waits for is not committed yet; trying again");
        self.parts.scope.stop().run_until_cancelled(self.parts.clock.sleep(COMMIT_RETRY)).await.is_none()
    }

    /// Commits rows that belong to no turn's end, and hands them to the outbox; says whether Slack took them.
    pub(super) async fn owe(&self, owed: Vec<Owed>) -> Result<impl Future<Output = Fate> + Send + use<>, StoreError> {
        self.parts.store.owe(owed.clone(), None, self.parts.clock.wall_ms()).await?;
        Ok(self.parts.outbox.send(owed))
    }
}
