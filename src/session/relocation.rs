//! A session that goes on in another conversation.

use std::sync::Arc;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::ports::Line;
use crate::domain::session::{SessionRecord, SessionStatus};
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
        let place = if slots.draining || !slots.entry(key).is_free() { None } else { self.queue(Line::Turn).place() };
        match place {
            Some(_) => slots.begin(key, Line::Turn),
            None => slots.forget_if_empty(key),
        }
        place
    }

    async fn move_held(
        self: &Arc<Self>,
        record: &SessionRecord,
        to: &ConversationKey,
    ) -> Result<Relocated, StoreError> {
        let _nobody_brings_it_up = self.gate(&record.conversation).await;
        match self.parts.store.move_session(record.id, to.clone()).await? {
            Moved::Moved => {}
            Moved::Ended => return Ok(Relocated::Ended),
            Moved::Occupied => return Ok(Relocated::Occupied),
        }
        tracing::info!(session.id = %record.id, from = %record.conversation, to = %to, "A session goes on in another conversation");
        self.note_place(&record.conversation, false);
        self.note_place(to, true);
        {
            let mut slots = self.slots();
            let known = slots.active_mut(record).cloned();
            let Active { record: known, live } = known.unwrap_or_else(|| Active { record: record.clone(), live: None });
            slots.entry(&record.conversation).mapping = Mapping::None;
            let moved = SessionRecord { conversation: to.clone(), ..known };
            slots.entry(to).mapping = Mapping::Active(Box::new(Active { record: moved, live }));
        }
        self.unless_ended(record.id, to).await
    }

    /// Who ended it between the move's commit and now did not find it in its new place.
    async fn unless_ended(self: &Arc<Self>, id: SessionId, to: &ConversationKey) -> Result<Relocated, StoreError> {
        let lives = self.parts.store.session(id).await?.is_some_and(|now| now.status == SessionStatus::Active);
        if lives {
            return Ok(Relocated::Done);
        }
        self.note_place(to, false);
        let (live, _no_turn_has_begun) = self.slots().take_ended(to, id);
        if let Some(live) = live {
            self.end_live(to.clone(), live.session);
        }
        Ok(Relocated::Ended)
    }
}
