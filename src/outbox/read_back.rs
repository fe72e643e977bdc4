//! Rows that are in the store alone, read back one at a time.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::Inner;
use super::Stopping;
use super::courier::RETRY;
use crate::backoff::Backoff;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::OwedId;
use crate::domain::outgoing::Owed;
use crate::store::{Pending, StoreError, Trouble};

/// How many rows that were read back are in memory at once; each has an attempt under way. A further one waits in the store.
pub(super) const AT_ONCE: usize = 256;

/// A row in memory, for one attempt.
pub(super) struct Hand<'a> {
    pub(super) owed: Arc<Owed>,
    /// What its attempts in an earlier process have led to, if there were any.
    pub(super) trouble: Trouble,
    /// What a row holds that was read back; its lane holds any other.
    place: Option<SemaphorePermit<'a>>,
}

impl Hand<'_> {
    /// A row that its lane holds.
    pub(super) fn of_lane(owed: Arc<Owed>) -> Self {
        Self { owed, trouble: Trouble::default(), place: None }
    }

    /// Whether its lane holds it, so that letting it go would free nothing.
    pub(super) fn is_of_lane(&self) -> bool {
        self.place.is_none()
    }
}

impl Inner {
    /// Reads the first row that is owed to `conversation`; one that can't be read is put out of the way. `None` when there is none.
    pub(super) async fn read_next(&self, conversation: &ConversationKey) -> Result<Option<Hand<'_>>, Stopping> {
        loop {
            let place = self.place().await?;
            let found = self.insist(|| self.store.next_owed(conversation.clone())).await?;
            let Some(mut row) = found else { return Ok(None) };
            row.trouble.doubtful |= self.lanes().is_suspect(conversation, row.pos);
            if let Some(hand) = self.take_in_hand(row, place).await? {
                return Ok(Some(hand));
            }
        }
    }

    /// Reads a row for another attempt; `None` when that can't be.
    pub(super) async fn read_again(&self, id: OwedId) -> Result<Option<Hand<'_>>, Stopping> {
        let place = self.place().await?;
        let Some(row) = self.insist(|| self.store.still_owed(id)).await? else {
            tracing::error!(owed.id = %id, "A message to Slack is not in the store any more");
            return Ok(None);
        };
        self.take_in_hand(row, place).await
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Stopping> {
        let place = self.scope.stop().run_until_cancelled(self.places.acquire()).await;
        place.and_then(Result::ok).ok_or(Stopping)
    }

    async fn take_in_hand<'a>(&self, row: Pending, place: SemaphorePermit<'a>) -> Result<Option<Hand<'a>>, Stopping> {
        match row.owed {
            Ok(owed) => Ok(Some(Hand { owed: Arc::new(owed), trouble: row.trouble, place: Some(place) })),
            Err(why) => self.set_aside(row.pos, &row.id, why).await.map(|()| None),
        }
    }

    /// Puts a row that can't be read out of the way of the others.
    async fn set_aside(&self, pos: i64, id: &str, why: String) -> Result<(), Stopping> {
        tracing::error!(
            owed.id = id,
            pos,
            reason = why,
            "A message to Slack can't be read and is set aside; the store keeps its content"
        );
        metrics::counter!("hitchline_outbox_dead_total").increment(1);
        self.insist(|| self.store.set_aside(pos, why.clone())).await
    }

    /// Asks the store until it answers.
    pub(super) async fn insist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Stopping>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut chance = fastrand::Rng::new();
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(StoreError::Closed) => return Err(Stopping),
                Err(error) => error,
            };
            tracing::error!(%error, "The store does not take part in what is owed to Slack; trying again");
            let rest = self.clock.sleep(backoff.next(&mut chance));
            self.scope.stop().run_until_cancelled(rest).await.ok_or(Stopping)?;
        }
    }
}
