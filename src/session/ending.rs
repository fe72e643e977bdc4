//! The end of a session, for good: one way, whoever wants it.

use std::sync::Arc;

use crate::backend::Session;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, SessionId, TeamId};
use crate::scope::OnCrash;
use crate::store::{SessionFilter, StoreError};

use super::lines::RETRY;
use super::manager::Inner;
use super::pool::CLEAN_UP;
use super::turn::StopReason;

impl Inner {
    /// Ends a mapping for good: the tombstone is written before the backend is told. What waits for it before the event `before` ends
    /// with it. Returns where it answered and how many messages that were; nothing when it had ended before.
    pub(super) async fn end_for_good(
        self: &Arc<Self>,
        id: SessionId,
        before: i64,
    ) -> Result<Option<(ConversationKey, usize)>, StoreError> {
        let ended = self.parts.store.end_session(id, before, self.parts.clock.wall_ms()).await?;
        let Some((key, waiting)) = ended else { return Ok(None) };
        tracing::info!(conversation = %key, session.id = %id, "A session has ended");
        self.note_place(&key, false);
        self.remove_files(id);
        let (live, running) = {
            let mut slots = self.slots();
            let ended = slots.take_ended(&key, id);
            slots.unmark_all(&key);
            slots.forget_if_empty(&key);
            ended
        };
        if let Some(running) = running {
            running.stop(StopReason::End);
        }
        if let Some(live) = live {
            self.end_live(key.clone(), live.session);
        }
        Ok(Some((key, waiting)))
    }

    /// Begins to end the sessions whose channels are closed to us: nobody can talk to them there.
    pub(super) fn watch_closures(self: &Arc<Self>) {
        let (inner, scope) = (self.clone(), &self.parts.scope);
        scope.keep("closed channels", &self.parts.clock, scope.stop(), move || inner.clone().end_what_is_closed());
    }

    /// An end that has begun is not broken off.
    async fn end_what_is_closed(self: Arc<Self>) {
        let finish = self.parts.scope.finish();
        while let Some((team, channel)) = finish.run_until_cancelled(self.parts.outbox.closed()).await {
            while let Err(error) = self.end_all_in(&team, &channel).await {
                tracing::error!(channel.id = %channel, %error, "The sessions of a channel that is closed to us are not ended yet; trying again");
                self.pause(RETRY).await;
                if finish.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// What waits for them ends with them; that is told where it was said, and so becomes a dead letter.
    async fn end_all_in(self: &Arc<Self>, team: &TeamId, channel: &ChannelId) -> Result<(), StoreError> {
        let (team, channel) = (Some(team.clone()), Some(channel.clone()));
        let filter = SessionFilter { team, channel, limit: usize::MAX, ..SessionFilter::default() };
        for record in self.parts.store.sessions(filter).await? {
            tracing::warn!(conversation = %record.conversation, session.id = %record.id, "A session ends: its channel is closed to us");
            let ended = self.end_for_good(record.id, i64::MAX).await?;
            if let Some((key, waiting)) = ended.filter(|(_, waiting)| *waiting > 0) {
                self.tell_dropped(&key, waiting).await;
            }
        }
        Ok(())
    }

    /// Ends what ran for a mapping that has ended; nobody waits for it.
    pub(super) fn end_live(self: &Arc<Self>, key: ConversationKey, session: Arc<dyn Session>) {
        let inner = self.clone();
        self.parts.scope.spawn("session end", OnCrash::Log, async move {
            let deadline = inner.parts.clock.now() + CLEAN_UP;
            inner.see_off(&key, deadline, session.end(deadline)).await;
        });
    }
}
