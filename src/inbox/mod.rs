//! Commit, then acknowledge.
//!
//! An inbound is claimed in memory, committed together with the turn that it starts, and only then may its envelope be
//! acknowledged. What the session room makes of it is settled on the writer's side of the commit, so that a socket which goes away
//! in the middle loses nothing.

mod refusals;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::domain::inbound::Inbound;
use crate::domain::ports::{Claim, Deliver, Intake, Keep, NotStored, Receipt, Settled};
use crate::store::{Accept, Accepted, Store, StoreError};

pub use refusals::Refusals;

/// How long a commit may take before the acknowledgement is withheld: Slack gives up after 3 s and delivers again.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// The inbox: what the sockets deliver into.
#[derive(Clone)]
pub struct Inbox {
    store: Store,
    intake: Arc<dyn Intake>,
    clock: Clock,
    queue_limit: usize,
    refusals: Refusals,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("queue_limit", &self.queue_limit).finish_non_exhaustive()
    }
}

impl Inbox {
    /// An inbox that asks `intake` what to keep; at most `queue_limit` messages wait in one conversation.
    pub fn new(store: Store, intake: Arc<dyn Intake>, clock: Clock, queue_limit: usize) -> Self {
        Self { store, intake, clock, queue_limit, refusals: Refusals::default() }
    }

    fn commit(
        &self,
        slot: crate::store::Slot,
        inbound: Inbound,
        keep: Keep,
    ) -> oneshot::Receiver<Result<Receipt, NotStored>> {
        let (done, receipt) = oneshot::channel();
        let accept = Accept { inbound, keep, queue_limit: self.queue_limit, now_ms: self.clock.wall_ms() };
        let intake = self.intake.clone();
        Store::accept(slot, accept, move |accept, outcome| {
            let settled = settled(&outcome);
            intake.settle(accept.inbound, accept.keep, settled);
            // The socket may be gone; the event is stored all the same, and its redelivery is a duplicate.
            let _unheard = done.send(receipt_of(settled, outcome));
        });
        receipt
    }

    /// How many deliveries in a row the store has refused.
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    async fn store(&self, inbound: Inbound) -> Result<Receipt, NotStored> {
        let deadline = self.clock.now() + COMMIT_DEADLINE;
        let late = |_elapsed| NotStored("the store did not commit in time".to_owned());
        self.store.takes_events().map_err(|error| not_stored(&error))?;
        // The place comes before the claim: from the claim on nothing may be cancelled.
        let slot = self
            .clock
            .timeout_at(deadline, self.store.slot())
            .await
            .map_err(late)?
            .map_err(|error| not_stored(&error))?;
        let keep = match self.intake.claim(&inbound) {
            Claim::Keep(keep) => keep,
            Claim::Drop(reason) => {
                metrics::counter!("hitchline_events_ignored_total", "reason" => reason).increment(1);
                return Ok(Receipt::Ignored);
            }
        };
        let receipt = self.commit(slot, inbound, keep);
        let receipt = self.clock.timeout_at(deadline, receipt).await.map_err(late)?;
        receipt.map_err(|_closed| not_stored(&StoreError::Closed))?
    }
}

#[async_trait]
impl Deliver for Inbox {
    async fn deliver(&self, inbound: Inbound) -> Result<Receipt, NotStored> {
        let delivered = self.store(inbound).await;
        self.refusals.count(&delivered);
        delivered
    }
}

fn not_stored(error: &StoreError) -> NotStored {
    NotStored(error.to_string())
}

fn settled(outcome: &Result<Accepted, StoreError>) -> Settled {
    match outcome {
        Ok(Accepted::Stored { seq, begun }) => Settled::Stored { seq: *seq, begun: *begun },
        Ok(Accepted::Refused(seq)) => Settled::Refused { seq: *seq },
        Ok(Accepted::Duplicate) => Settled::Duplicate,
        Ok(Accepted::NotFollowed) => Settled::NotFollowed,
        Ok(Accepted::Applied) => Settled::Applied,
        Err(_) => Settled::Failed,
    }
}

fn receipt_of(settled: Settled, outcome: Result<Accepted, StoreError>) -> Result<Receipt, NotStored> {
    outcome.map_err(|error| not_stored(&error))?;
    Ok(match settled {
        Settled::Duplicate => {
            metrics::counter!("hitchline_events_duplicate_total").increment(1);
            Receipt::Duplicate
        }
        Settled::NotFollowed | Settled::Failed => Receipt::Ignored,
        Settled::Stored { .. } | Settled::Refused { .. } | Settled::Applied => Receipt::Stored,
    })
}
