//! The end of a row: what the store is told of it, and who else.

use super::{Fate, Inner, Outbox, Stopping};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts};
use crate::store::{Noted, Parked, StoreError};

/// How a row was settled.
pub(super) enum Outcome {
    /// It is in Slack, as this message where it made or changed one.
    Sent(Option<Ts>),
    /// It can't be delivered.
    Dead(Dead),
    /// The store has it no more.
    Gone,
}

/// Why a row can't be delivered.
pub(super) struct Dead {
    pub(super) why: String,
    /// Whether it may be in Slack although no answer said so.
    pub(super) doubtful: bool,
    /// Whether it was something to read, which somebody now misses.
    pub(super) missed: bool,
    /// Whether that is because nothing can be said there any more.
    pub(super) closed: bool,
}

impl Outbox {
    /// Ends the first row of `conversation`. Returns when that is on disk: only the first row of a conversation may be in Slack without
    /// the store's knowing, which is what a start after a crash relies on.
    pub(super) async fn settle(
        &self,
        conversation: &ConversationKey,
        id: OwedId,
        outcome: Outcome,
    ) -> Result<(), Stopping> {
        match outcome {
            Outcome::Sent(ts) => {
                metrics::counter!("hitchline_outbox_sent_total").increment(1);
                let noted = self.0.store.delivered(id, ts.clone()).await.map_err(|_closed| Stopping)?;
                // Whoever waits for it need not wait for the disk.
                self.leave(conversation, Fate::Sent);
                self.0.on_disk(id, ts, noted).await?;
            }
            Outcome::Dead(dead) => {
                self.park(conversation, id, dead).await?;
                self.leave(conversation, Fate::Dead);
            }
            Outcome::Gone => self.leave(conversation, Fate::Dead),
        }
        self.lanes().doubt(conversation, false);
        Ok(())
    }

    fn leave(&self, conversation: &ConversationKey, fate: Fate) {
        let settled = self.lanes().pop(conversation);
        if let Some(item) = settled {
            item.delivery.settle(fate);
        }
    }

    /// Keeps a row that can't be delivered out of the way, and tells whoever asked for it, once for each conversation and day.
    async fn park(&self, conversation: &ConversationKey, id: OwedId, dead: Dead) -> Result<(), Stopping> {
        let Dead { why, doubtful, missed, closed } = dead;
        tracing::error!(owed.id = %id, %conversation, reason = %why, "A message to Slack is given up");
        metrics::counter!("hitchline_outbox_dead_total").increment(1);
        let now = self.0.clock.now();
        let notice = (missed && self.0.notices.is_due(conversation, now)).then(|| notice(conversation, &why));
        let parked = Parked { why, doubtful, notice };
        let now_ms = self.0.clock.wall_ms();
        let owed = self.0.insist(|| self.0.store.park(id, parked.clone(), now_ms)).await?;
        if let Some(owed) = owed {
            self.0.notices.told(conversation, now);
            drop(self.send(vec![owed]));
        }
        if closed {
            self.0.closures.note(conversation);
        }
        Ok(())
    }
}

impl Inner {
    /// Waits until a delivery is noted, and notes it again as long as the store can't.
    async fn on_disk(&self, id: OwedId, ts: Option<Ts>, noted: Noted) -> Result<(), Stopping> {
        match noted.on_disk().await {
            Ok(()) => return Ok(()),
            Err(StoreError::Closed) => return Err(Stopping),
            Err(error) => tracing::warn!(owed.id = %id, %error, "A delivery is not noted yet"),
        }
        let again = || async { self.store.delivered(id, ts.clone()).await?.on_disk().await };
        self.insist(again).await
    }
}

/// What whoever asked is told of an answer that can't be delivered, in Slack's markup.
fn notice(conversation: &ConversationKey, why: &str) -> String {
    format!(
        "I could not answer you in <#{}>: {why}. Whoever runs me finds the answer with `hitchline dlq list`, and can send it again with \
         `hitchline dlq retry`.",
        conversation.channel
    )
}
