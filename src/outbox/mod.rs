//! What is owed to Slack, delivered in order.
//!
//! Rows are committed before they come here. Each conversation has a lane that holds its order; a lane has a task only while
//! something is in it. A row leaves its lane when it was sent or can never be sent; until then the lane waits, and whoever sent it may
//! wait with it, so that what is in memory stays bounded.

mod lane;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::domain::conversation::ConversationKey;
use crate::domain::outgoing::Owed;
use crate::domain::ports::SlackWrite;
use crate::scope::{OnCrash, Scope};
use crate::store::{Store, StoreError};

/// The outbox; cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    slack: Arc<dyn SlackWrite>,
    clock: Clock,
    scope: Scope,
    lanes: Mutex<HashMap<ConversationKey, VecDeque<Item>>>,
    /// Told whenever a lane has become empty.
    emptied: Notify,
}

/// A row in its lane.
struct Item {
    owed: Owed,
    delivery: Arc<Delivery>,
}

/// Rows that were sent together, and whoever waits for them.
struct Delivery {
    /// Whether one of them can never be delivered.
    dead: AtomicBool,
    /// Told when all of them are settled.
    waiter: oneshot::Sender<Fate>,
}

/// What became of rows that were sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Slack has taken each of them.
    Sent,
    /// At least one of them can never be delivered.
    Dead,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("lanes", &self.lanes().len()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An outbox with empty lanes; [`Outbox::recover`] fills them from the store.
    pub fn new(store: Store, slack: Arc<dyn SlackWrite>, clock: Clock, scope: Scope) -> Self {
        Self(Arc::new(Inner { store, slack, clock, scope, lanes: Mutex::default(), emptied: Notify::new() }))
    }

    /// Takes up what was still owed when the last process ended. Before anything new is sent.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let pending = self.0.store.owed().await?;
        if !pending.is_empty() {
            tracing::info!(rows = pending.len(), "Taking up what was still owed to Slack");
        }
        for row in pending {
            match row.owed {
                Ok(owed) => drop(self.send(vec![owed])),
                Err(why) => self.set_aside(row.pos, &row.id, why).await?,
            }
        }
        Ok(())
    }

    /// Puts a row that can't be read out of the way of the others.
    async fn set_aside(&self, pos: i64, id: &str, why: String) -> Result<(), StoreError> {
        tracing::error!(
            owed.id = id,
            pos,
            reason = why,
            "A message to Slack can't be read and is set aside; the store keeps its content"
        );
        metrics::counter!("hitchline_outbox_dead_total").increment(1);
        self.0.store.set_aside(pos, why).await
    }

    /// Delivers rows that are committed, after everything that their conversation was owed before.
    ///
    /// The future that it returns says what became of them once each has been sent or can never be, and never ends when we stop
    /// first; nobody has to await it.
    pub fn send(&self, owed: Vec<Owed>) -> impl Future<Output = Fate> + Send + use<> {
        let (waiter, fate) = oneshot::channel();
        self.enqueue(owed, Arc::new(Delivery { dead: AtomicBool::new(false), waiter }));
        async move {
            match fate.await {
                Ok(fate) => fate,
                Err(_stopped_first) => std::future::pending().await,
            }
        }
    }

    fn enqueue(&self, owed: Vec<Owed>, delivery: Arc<Delivery>) {
        let Some(conversation) = owed.first().map(|row| row.conversation.clone()) else {
            return delivery.settle(Fate::Sent);
        };
        let items: VecDeque<Item> = owed.into_iter().map(|owed| Item { owed, delivery: delivery.clone() }).collect();
        // Only the rows hold it from here on, so that the last one to be settled knows that it is.
        drop(delivery);
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get_mut(&conversation) {
            lane.extend(items);
            return;
        }
        lanes.insert(conversation.clone(), items);
        drop(lanes);
        let outbox = self.clone();
        self.0.scope.spawn("outbox lane", OnCrash::Log, async move { outbox.run_lane(conversation).await });
    }

    /// Waits until nothing is owed in `conversation`, so that what comes next can't overtake it.
    pub async fn settled(&self, conversation: &ConversationKey) {
        self.wait_until(|lanes| !lanes.contains_key(conversation)).await;
    }

    /// Waits until nothing is owed at all, by the deadline at the latest. Returns how many lanes are left; their rows stay in the
    /// store.
    pub async fn flush(&self, deadline: Instant) -> usize {
        let _timed_out = self.0.clock.timeout_at(deadline, self.wait_until(HashMap::is_empty)).await;
        self.lanes().len()
    }

    async fn wait_until(&self, reached: impl Fn(&HashMap<ConversationKey, VecDeque<Item>>) -> bool) {
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Registered before the look, so that a lane that empties in between is not missed.
            emptied.as_mut().enable();
            if reached(&self.lanes()) {
                return;
            }
            emptied.await;
        }
    }

    async fn run_lane(&self, conversation: ConversationKey) {
        let lane = lane::Lane::new(&self.0);
        let mut next = self.front(&conversation);
        while let Some(owed) = next {
            // When we are stopping, the rows stay in the store, and the lane as it is.
            let Ok(fate) = lane.deliver(&owed).await else { return };
            next = self.advance(&conversation, fate);
        }
    }

    fn front(&self, conversation: &ConversationKey) -> Option<Owed> {
        self.lanes().get(conversation)?.front().map(|item| item.owed.clone())
    }

    /// Takes the settled row out of its lane and returns the next one. Without one the lane is gone, in the same moment: a row that
    /// comes later makes a lane with a task of its own.
    fn advance(&self, conversation: &ConversationKey, fate: Fate) -> Option<Owed> {
        let mut lanes = self.lanes();
        let lane = lanes.get_mut(conversation)?;
        let settled = lane.pop_front();
        let next = lane.front().map(|item| item.owed.clone());
        if next.is_none() {
            lanes.remove(conversation);
            self.0.emptied.notify_waiters();
        }
        drop(lanes);
        // Whoever waits for it is told outside of the lock.
        if let Some(item) = settled {
            item.delivery.settle(fate);
        }
        next
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<ConversationKey, VecDeque<Item>>> {
        self.0.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Delivery {
    /// One of its rows is settled; the last one tells the waiter.
    fn settle(self: Arc<Self>, fate: Fate) {
        if fate == Fate::Dead {
            self.dead.store(true, Ordering::Relaxed);
        }
        if let Some(Self { dead, waiter }) = Arc::into_inner(self) {
            let fate = if dead.into_inner() { Fate::Dead } else { Fate::Sent };
            // Nobody has to wait.
            let _unheard = waiter.send(fate);
        }
    }
}

#[cfg(test)]
mod tests;
