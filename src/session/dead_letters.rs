//! What was given up, as an operator sees it: listed, tried once more, or dropped.

use crate::store::{DeadId, DeadLetter, Retried, StoreError};

use super::manager::Manager;

impl Manager {
    /// The dead letters, the newest first, at most `limit` of each kind.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.0.parts.store.dead_letters(limit).await
    }

    /// Tries a dead letter once more, as if a person had asked for it now.
    pub async fn retry_dead_letter(&self, id: DeadId) -> Result<Retried, StoreError> {
        let retried = self.0.parts.store.retry_dead_letter(id).await?;
        match (&retried, id) {
            (Retried::Message(key, line), DeadId::Message(seq)) => self.0.stored_in(key, *line, seq),
            (Retried::Outgoing(key), _) => self.0.parts.outbox.take_up(key.clone()),
            _ => {}
        }
        Ok(retried)
    }

    /// Drops a dead letter for good. Returns whether there was one.
    pub async fn drop_dead_letter(&self, id: DeadId) -> Result<bool, StoreError> {
        self.0.parts.store.drop_dead_letter(id).await
    }
}
