//! Takes up what an earlier process left, a bounded part of it at a time.

use std::collections::VecDeque;

use crate::backoff::Backoff;
use crate::domain::conversation::ConversationKey;
use crate::store::{StoreError, Stretch};

use super::courier::{Courier, RETRY, Stopping};
use super::{Inner, Outbox};

/// How many conversations are taken up at a time. Each holds one row of an earlier process in memory; a further one waits until one of
/// them has none left.
const AT_ONCE: usize = 256;

impl Outbox {
    /// Opens a lane for each conversation in the backlog, as there is room.
    pub(super) async fn take_up_backlog(&self) -> Result<(), Stopping> {
        let mut after = None;
        loop {
            self.wait_until(|lanes| lanes.recovering() < AT_ONCE).await;
            let room = AT_ONCE - self.lanes().recovering().min(AT_ONCE - 1);
            let page = self.0.insist(|| self.0.store.owing(after.clone(), room)).await?;
            let Some(last) = page.last().cloned() else {
                self.lanes().end_recovery();
                self.0.changed.notify_waiters();
                return Ok(());
            };
            for conversation in page {
                self.push(conversation, VecDeque::new());
            }
            after = Some(last);
        }
    }
}

impl Inner {
    /// Delivers the first row that an earlier process left to `conversation` in the `stretch`. Returns where the rest is.
    pub(super) async fn deliver_earlier(
        &self,
        conversation: &ConversationKey,
        stretch: Stretch,
    ) -> Result<Option<Stretch>, Stopping> {
        let found = self.insist(|| self.store.next_owed(conversation.clone(), stretch)).await?;
        let Some(row) = found else { return Ok(None) };
        match row.owed {
            Ok(owed) => drop(Courier::new(self, &owed).deliver().await?),
            Err(why) => self.set_aside(row.pos, &row.id, why).await?,
        }
        Ok(Some(Stretch { after: row.pos, ..stretch }))
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
    async fn insist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Stopping>
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
            tracing::error!(%error, "What is still owed to Slack can't be read; trying again");
            let rest = self.clock.sleep(backoff.next(&mut chance));
            self.scope.stop().run_until_cancelled(rest).await.ok_or(Stopping)?;
        }
    }
}
