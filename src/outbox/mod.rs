//! What is owed to Slack, delivered in order.
//!
//! Rows are committed before they come here. Each conversation has a lane that holds its order; a lane has a task only while
//! something is in it. A row leaves its lane when it was sent or can never be sent; until then the lane waits. Whoever sent it may wait
//! with it, as long as it is in memory: what can't be sent at once, is too much, or was left by an earlier process stays in the store
//! until its turn comes.
//!
//! A row is not begun before the end of the one before it is on disk. So only the first row of a conversation can be in Slack without
//! the store's knowing; after a crash that one is looked for.

mod attempt;
mod closures;
mod courier;
mod gate;
mod lanes;
mod notices;
mod patience;
mod plain;
mod read_back;
mod recovery;
mod settling;
mod verdict;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::clock::Clock;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, TeamId};
use crate::domain::outgoing::Owed;
use crate::domain::ports::SlackWrite;
use crate::scope::{OnCrash, Scope};
use crate::store::{Store, StoreError};

use closures::Closures;
use courier::Courier;
use gate::Gate;
use lanes::{Item, Lanes, Next, Pushed, Rest};
use notices::Notices;
use read_back::Hand;

/// We are stopping; the row stays in the store.
#[derive(Debug)]
struct Stopping;

/// The outbox; cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    slack: Arc<dyn SlackWrite>,
    clock: Clock,
    scope: Scope,
    gate: Gate,
    lanes: Mutex<Lanes>,
    notices: Notices,
    closures: Closures,
    /// A place for each row that was read back from the store and is in memory.
    places: Semaphore,
    /// Told whenever a lane has become empty, rests, or has delivered something from the store.
    changed: Notify,
}

/// Rows that were sent together, and whoever waits for them.
struct Delivery {
    /// The worst fate of those that are settled.
    worst: Mutex<Fate>,
    /// Told when all of them are settled.
    waiter: oneshot::Sender<Fate>,
}

/// What became of rows that were sent together; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Slack has taken each of them.
    Sent,
    /// At least one of them stays owed in the store and is delivered later; what becomes of it nobody is told any more.
    Kept,
    /// At least one of them can never be delivered.
    Dead,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("lanes", &self.lanes().len()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An outbox with nothing in it; [`Outbox::recover`] takes up what is in the store.
    pub fn new(store: Store, slack: Arc<dyn SlackWrite>, clock: Clock, scope: Scope) -> Self {
        let (gate, lanes, changed) = (Gate::new(), Mutex::default(), Notify::new());
        let (notices, closures, places) = (Notices::default(), Closures::default(), Semaphore::new(read_back::AT_ONCE));
        Self(Arc::new(Inner { store, slack, clock, scope, gate, lanes, notices, closures, places, changed }))
    }

    /// Slack's word for a token that it does not take, as long as that lasts; nothing is sent meanwhile.
    pub fn refused(&self) -> watch::Receiver<Option<String>> {
        self.0.gate.watch()
    }

    /// Waits for the next channel of which Slack has said that it is gone, archived, or closed to us. Each is told to one who waits, and
    /// again when a later message is refused for it.
    pub async fn closed(&self) -> (TeamId, ChannelId) {
        self.0.closures.next().await
    }

    /// Begins to take up what was still owed when the last process ended. Before anything new is sent, so that it comes behind that.
    /// `suspect`: that process did not end in order, or not [at rest](Self::is_at_rest), so that something may have been sent of which
    /// the store does not know.
    pub async fn recover(&self, suspect: bool) -> Result<(), StoreError> {
        let Some(last) = self.0.store.last_owed().await? else { return Ok(()) };
        tracing::info!("Taking up what was still owed to Slack");
        self.lanes().begin_recovery(suspect.then_some(last));
        let outbox = self.clone();
        self.0.scope.spawn("outbox recovery", OnCrash::Stop, async move {
            // From then on nothing is taken up: it stays in the store.
            let finish = outbox.0.scope.finish();
            let _stopping = finish.run_until_cancelled(outbox.take_up_backlog()).await;
        });
        Ok(())
    }

    /// Delivers rows that are committed, after everything that their conversation was owed before.
    ///
    /// The future that it returns says what became of them once each has been sent, can never be, or is only in the store; it never
    /// ends when we stop first. Nobody has to await it.
    pub fn send(&self, owed: Vec<Owed>) -> impl Future<Output = Fate> + Send + use<> {
        let (waiter, fate) = oneshot::channel();
        self.enqueue(owed, Arc::new(Delivery { worst: Mutex::new(Fate::Sent), waiter }));
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
        let rows = owed.into_iter().map(|owed| Item { owed: Arc::new(owed), delivery: delivery.clone() }).collect();
        // Only the rows hold it from here on, so that the last one to be settled knows that it is.
        drop(delivery);
        self.push(conversation, rows);
    }

    fn push(&self, conversation: ConversationKey, rows: VecDeque<Item>) {
        let pushed = self.lanes().push(&conversation, rows);
        self.run(conversation, pushed);
    }

    fn run(&self, conversation: ConversationKey, pushed: Pushed) {
        let Pushed { opened, kept } = pushed;
        release(kept);
        if opened {
            let outbox = self.clone();
            self.0.scope.spawn("outbox lane", OnCrash::Log, async move {
                // When we are stopping, the rows stay in the store, and the lane as it is.
                let _stopping = outbox.run_lane(&conversation).await;
            });
        }
    }

    /// Delivers what was made pending again in the store, before everything that its conversation is owed since.
    pub fn take_up(&self, conversation: ConversationKey) {
        let pushed = self.lanes().take_up(&conversation);
        self.run(conversation, pushed);
    }

    /// Whether the store knows of everything that is in Slack: nothing is on its way, and nothing was sent without an answer.
    pub fn is_at_rest(&self) -> bool {
        self.lanes().at_rest()
    }

    /// Waits until nothing is owed in `conversation`, so that what comes next can't overtake it.
    pub async fn settled(&self, conversation: &ConversationKey) {
        if !self.lanes().is_settled(conversation) {
            // Its rows may still be in the store.
            self.push(conversation.clone(), VecDeque::new());
            self.wait_until(|lanes| !lanes.is_open(conversation)).await;
        }
    }

    /// Waits until nothing is owed at all, or nothing that is tried again before the deadline. Returns how many lanes are left; their
    /// rows stay in the store, as do those that were never taken up.
    pub async fn flush(&self, deadline: Instant) -> usize {
        let done = self.wait_until(|lanes| lanes.rest_beyond(deadline));
        let _timed_out = self.0.clock.timeout_at(deadline, done).await;
        self.lanes().len()
    }

    async fn wait_until(&self, reached: impl Fn(&Lanes) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            if reached(&self.lanes()) {
                return;
            }
            changed.await;
        }
    }

    async fn run_lane(&self, conversation: &ConversationKey) -> Result<(), Stopping> {
        loop {
            let next = self.lanes().next(conversation);
            match next {
                Some(Next::Row(owed)) => self.deliver(conversation, Hand::of_lane(owed)).await?,
                Some(Next::Stored) => {
                    if let Some(hand) = self.0.read_next(conversation).await? {
                        self.deliver(conversation, hand).await?;
                        self.0.changed.notify_waiters();
                    }
                }
                None => {
                    self.0.changed.notify_waiters();
                    return Ok(());
                }
            }
        }
    }

    async fn deliver(&self, conversation: &ConversationKey, hand: Hand<'_>) -> Result<(), Stopping> {
        let (id, courier) = (hand.owed.id, Courier::new(&self.0, conversation, &hand));
        let outcome = courier.deliver(hand).await?;
        self.settle(conversation, id, outcome).await
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes()
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves what `conversation` is owed to the store.
    fn spill(&self, conversation: &ConversationKey) {
        let spilled = self.lanes().spill(conversation);
        release(spilled);
    }

    /// Waits with the first row of `conversation`, and says so, unless we are stopping.
    async fn rest<T>(
        &self,
        conversation: &ConversationKey,
        rest: Rest,
        over: impl Future<Output = T>,
    ) -> Result<T, Stopping> {
        self.lanes().rest(conversation, Some(rest));
        self.changed.notify_waiters();
        let waited = self.scope.stop().run_until_cancelled(over).await.ok_or(Stopping)?;
        self.lanes().rest(conversation, None);
        Ok(waited)
    }
}

impl Delivery {
    /// One of its rows is settled; the last one tells the waiter.
    fn settle(self: Arc<Self>, fate: Fate) {
        {
            let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
            *worst = fate.max(*worst);
        }
        if let Some(Self { worst, waiter }) = Arc::into_inner(self) {
            let fate = worst.into_inner().unwrap_or_else(PoisonError::into_inner);
            // Nobody has to wait.
            let _unheard = waiter.send(fate);
        }
    }
}

/// Tells whoever waits for these rows that they stay in the store.
fn release(kept: VecDeque<Item>) {
    for item in kept {
        item.delivery.settle(Fate::Kept);
    }
}

#[cfg(test)]
mod tests;
