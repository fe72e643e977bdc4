//! The end of a session, for good: one way, whoever wants it.

use std::sync::Arc;

use crate::backend::Session;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::scope::OnCrash;
use crate::store::StoreError;

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
        self.after_end(&key, id);
        Ok(Some((key, waiting)))
    }

    /// Stops what runs for a mapping that has ended, and forgets it.
    pub(super) fn after_end(self: &Arc<Self>, key: &ConversationKey, id: SessionId) {
        tracing::info!(conversation = %key, session.id = %id, "A session has ended");
        self.note_place(key, false);
        self.remove_files(id);
        let (live, running) = {
            let mut slots = self.slots();
            let ended = slots.take_ended(key, id);
            slots.unmark_all(key);
            slots.forget_if_empty(key);
            ended
        };
        if let Some(running) = running {
            running.stop(StopReason::End);
        }
        if let Some(live) = live {
            self.end_live(key.clone(), live.session);
        }
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
