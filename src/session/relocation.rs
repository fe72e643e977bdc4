//! A session that goes on in another conversation.

use std::sync::Arc;

use crate::domain::conversation::ConversationKey;
use crate::domain::ports::Line;
use crate::domain::session::SessionRecord;
use crate::store::{Moved, StoreError};

use super::manager::Inner;
use super::slots::{Active, Mapping};

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relocated {
    /// It answers there from now on, and here no more.
    Done,
    /// It works, or messages wait for it.
    Busy,
    /// It has ended.
    Ended,
    /// Another one answers there.
    Occupied,
}

impl Inner {
    /// Lets a session answer in another conversation from now on, with all that runs for it. Nothing begins in its old one meanwhile.
    pub(super) async fn relocate(
        self: &Arc<Self>,
        record: &SessionRecord,
        to: &ConversationKey,
    ) -> Result<Relocated, StoreError> {
        let from = &record.conversation;
        if self.parts.store.waiting(from, Line::Turn).await? > 0 {
            return Ok(Relocated::Busy);
        }
        let Some(place) = self.hold(from) else { return Ok(Relocated::Busy) };
        let moved = self.move_held(record, to).await;
        // Whatever came meanwhile is looked at now.
        self.run_line(from.clone(), Line::Turn, place, None);
        moved
    }

    /// Takes a conversation's turns, when none runs.
    fn hold(&self, key: &ConversationKey) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let mut slots = self.slots();
        if slots.draining || !slots.entry(key).is_free() {
            return None;
        }
        let place = self.queue(Line::Turn).place()?;
        slots.begin(key, Line::Turn);
        Some(place)
    }

    async fn move_held(&self, record: &SessionRecord, to: &ConversationKey) -> Result<Relocated, StoreError> {
        let gate = self.slots().entry(&record.conversation).gate();
        let _nobody_brings_it_up = gate.lock_owned().await;
        match self.parts.store.move_session(record.id, to.clone()).await? {
            Moved::Moved => {}
            Moved::Ended => return Ok(Relocated::Ended),
            Moved::Occupied => return Ok(Relocated::Occupied),
        }
        tracing::info!(session.id = %record.id, from = %record.conversation, to = %to, "A session goes on in another conversation");
        self.note_place(&record.conversation, false);
        self.note_place(to, true);
        let mut slots = self.slots();
        let live = slots.active_mut(record).and_then(|active| active.live.take());
        slots.entry(&record.conversation).mapping = Mapping::None;
        let record = SessionRecord { conversation: to.clone(), ..record.clone() };
        slots.entry(to).mapping = Mapping::Active(Box::new(Active { record, live }));
        Ok(Relocated::Done)
    }
}
