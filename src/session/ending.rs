//! The end of a session, for good: one way, whoever wants it.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Session;
use crate::domain::conversation::ConversationKey;
use crate::domain::session::SessionRecord;
use crate::scope::OnCrash;
use crate::store::StoreError;

use super::manager::Inner;
use super::slots::Mapping;
use super::turn::StopReason;

/// How long the backend of a session that was ended may take to clean up.
const END: Duration = Duration::from_secs(8);

impl Inner {
    /// Ends a mapping for good: the tombstone is written before the backend is told. What waits for it before the event `before` ends
    /// with it; returns how many messages that were. Twice is fine.
    pub(super) async fn end_for_good(
        self: &Arc<Self>,
        record: &SessionRecord,
        before: i64,
    ) -> Result<usize, StoreError> {
        let (key, now_ms) = (&record.conversation, self.parts.clock.wall_ms());
        let waiting = self.parts.store.end_session(record.id, key.clone(), before, now_ms).await?;
        tracing::info!(conversation = %key, session.id = %record.id, "A session was ended by a person");
        self.note_place(key, false);
        let (live, running) = {
            let mut slots = self.slots();
            let live = slots.active_mut(record).and_then(|active| active.live.take());
            let slot =
                slots.get_mut(key).filter(|slot| slot.active().is_some_and(|active| active.record.id == record.id));
            let running = slot.and_then(|slot| {
                slot.mapping = Mapping::None;
                slot.turn.clone()
            });
            slots.unmark_all(key);
            slots.forget_if_empty(key);
            (live, running)
        };
        if let Some(running) = running {
            running.stop(StopReason::End);
        }
        if let Some(live) = live {
            self.end_live(key.clone(), live.session);
        }
        Ok(waiting)
    }

    /// Ends what ran for a mapping that has ended; nobody waits for it.
    pub(super) fn end_live(self: &Arc<Self>, key: ConversationKey, session: Arc<dyn Session>) {
        let inner = self.clone();
        self.parts.scope.spawn("session end", OnCrash::Log, async move {
            let deadline = inner.parts.clock.now() + END;
            inner.see_off(&key, deadline, session.end(deadline)).await;
        });
    }
}
