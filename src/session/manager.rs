//! The session manager: which conversation a message wakes, what waits in the store, and how everything comes to rest.

use std::collections::HashSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::backend::error::BackendError;
use crate::backend::{Backend, Backends, Session};
use crate::clock::Clock;
use crate::domain::access::{Admitted, Denied, Gate};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, SessionId, TurnId, UserId};
use crate::domain::inbound::{ChannelKind, Inbound, Message, What};
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::{Render, SlackWrite};
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::outbox::Outbox;
use crate::scope::{OnCrash, Scope};
use crate::store::{Queued, Store, StoreError};

use super::policy::{Policy, Start};
use super::slots::{Phase, Slots, Work};
use super::turn::Control;
use super::words;

/// How many messages are in memory at once, from before their commit until their answer is delivered. What comes beyond that waits
/// in the store: this, and not a channel, is what bounds memory in a flood.
const IN_MEMORY: usize = 512;
/// How many stored messages are fetched at a time when there is room again.
const FETCH: usize = 64;
/// How much of the first prompt describes a session.
const DESCRIPTION: usize = 80;

/// What the manager works with.
pub struct Parts {
    /// The rules.
    pub policy: Policy,
    /// The gate that everybody passes.
    pub gate: Gate,
    /// What survives.
    pub store: Store,
    /// The durable way to Slack.
    pub outbox: Outbox,
    /// The cosmetic way to Slack.
    pub slack: Arc<dyn SlackWrite>,
    /// Markdown to Slack's markup.
    pub render: Arc<dyn Render>,
    /// The agents.
    pub backends: Backends,
    /// Time.
    pub clock: Clock,
    /// Owner of the conversations' tasks.
    pub scope: Scope,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The session manager; cheap to clone.
#[derive(Clone)]
pub struct Manager(pub(super) Arc<Inner>);

/// What the manager's own modules share.
pub(super) struct Inner {
    pub(super) parts: Parts,
    slots: Mutex<Slots>,
    pub(super) permits: Arc<Semaphore>,
    /// Told when something waits in the store only.
    pub(super) backlogged: Notify,
    /// Who was just told that too many messages wait in a conversation.
    pub(super) refusals: Mutex<HashSet<(ConversationKey, UserId)>>,
    /// Strangers who were told that they may not prompt.
    pub(super) told: Mutex<HashSet<UserId>>,
    /// Told whenever a conversation comes to rest.
    rested: Notify,
}

/// The pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Sessions that a backend runs now.
    pub live: usize,
    /// Conversations with work in hand.
    pub busy: usize,
    /// Whether no turn starts any more.
    pub draining: bool,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Manager").field(&self.stats()).finish()
    }
}

impl Manager {
    /// A manager with nothing in memory.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            slots: Mutex::default(),
            permits: Arc::new(Semaphore::new(IN_MEMORY)),
            backlogged: Notify::new(),
            refusals: Mutex::default(),
            told: Mutex::default(),
            rested: Notify::new(),
        }))
    }

    /// Takes up what the last process left, and starts to fetch what doesn't fit into memory.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for turn in self.0.parts.store.interrupted_turns().await? {
            tracing::warn!(turn.id = %turn.turn, conversation = %turn.conversation, "A turn was cut off; it is not repeated by itself");
            self.0.close_interrupted(turn).await?;
        }
        let newest = self.0.parts.store.requeue().await?;
        self.0.slots().backlog = (newest > 0).then_some((0, newest));
        let manager = self.clone();
        self.0.parts.scope.spawn("backlog", OnCrash::Stop, async move { manager.fetch_backlog().await });
        Ok(())
    }

    /// The pool in numbers.
    pub fn stats(&self) -> Stats {
        let slots = self.0.slots();
        Stats { live: slots.live(), busy: slots.busy(), draining: slots.draining }
    }

    /// Starts no more turns and waits for the running ones, until `grace` at the latest; then tells what is left to stop, and waits
    /// until `deadline` for that. Safe to call twice.
    pub async fn drain(&self, grace: Instant, deadline: Instant) {
        self.0.slots().draining = true;
        tracing::info!(turns = self.0.slots().busy(), "Draining: no turn starts any more");
        let clock = &self.0.parts.clock;
        if clock.timeout_at(grace, self.0.at_rest()).await.is_err() {
            self.interrupt();
            if clock.timeout_at(deadline, self.0.at_rest()).await.is_err() {
                tracing::warn!(
                    turns = self.0.slots().busy(),
                    "Some turns did not stop in time; they are told after the restart"
                );
            }
        }
    }

    /// Cancels every running turn and tells its conversation why.
    pub fn interrupt(&self) {
        for running in self.0.slots().running() {
            tracing::info!(turn.id = %running.turn, "Interrupting a turn");
            // A full queue of controls means that the turn is being stopped already.
            let _stopping = running.controls.try_send(Control::Interrupt);
        }
    }

    /// Releases every live session on its backend, all side by side, by the deadline. The mappings stay: the next message after a
    /// restart resumes them. Returns how many did not end properly. Safe to call twice, side by side, and again when it was left half-way.
    pub async fn release(&self, deadline: Instant) -> usize {
        let live = self.0.slots().live_sessions();
        tracing::info!(sessions = live.len(), "Releasing the live sessions");
        let release = async |(key, session): (ConversationKey, Arc<dyn Session>)| {
            let released = self.0.see_off(&key, deadline, session.release(deadline)).await;
            // Only now: a release that is left half-way is begun again by the next call.
            self.0.slots().forget_live(&key, &session);
            released
        };
        let failures = join_all(live.into_iter().map(release)).await.into_iter().filter(|released| !released).count();
        join_all(
            self.0.parts.backends.iter().map(|(name, backend)| self.0.shut_down(name, backend.as_ref(), deadline)),
        )
        .await;
        failures
    }

    async fn fetch_backlog(&self) {
        let finish = self.0.parts.scope.finish().clone();
        loop {
            let backlogged = self.0.backlogged.notified();
            tokio::select! {
                biased;
                () = finish.cancelled() => return,
                more = self.fetch_some() => if more { continue },
            }
            tokio::select! {
                biased;
                () = finish.cancelled() => return,
                () = backlogged => {}
            }
        }
    }

    /// Fetches what is next in the store. Returns whether there may be more.
    async fn fetch_some(&self) -> bool {
        let Some((after, last)) = self.0.slots().backlog else { return false };
        let queued = match self.0.parts.store.queued(after, FETCH).await {
            Ok(queued) => queued,
            Err(error) => {
                tracing::error!(%error, "Waiting messages can't be read; trying again");
                self.0.parts.clock.sleep(Duration::from_secs(1)).await;
                return true;
            }
        };
        let queued: Vec<Queued> = queued.into_iter().filter(|queued| queued.seq <= last).collect();
        if queued.is_empty() {
            return !self.0.slots().end_backlog(last);
        }
        for queued in queued {
            self.0.slots().advance_backlog(queued.seq);
            self.take_up(queued).await;
        }
        true
    }

    async fn take_up(&self, queued: Queued) {
        let Queued { seq, inbound } = queued;
        if !matches!(inbound.what, What::Message(_)) {
            // In a task of its own, like one that comes now: its crash must not be the daemon's, at each start anew.
            let inner = self.0.clone();
            let task = async move { inner.handle_at_once(seq, inbound).await };
            self.0.parts.scope.spawn("command", OnCrash::Log, task);
            return;
        }
        let Ok(permit) = self.0.permits.clone().acquire_owned().await else { return };
        match self.0.admit(&inbound) {
            Ok(admitted) => self.0.enqueue(seq, inbound, admitted, permit),
            Err(_denied_since) => self.0.done(seq).await,
        }
    }
}

// === What the manager's own modules share ===

impl Inner {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn admit(&self, inbound: &Inbound) -> Result<Admitted, Denied> {
        self.parts.gate.admit(&inbound.author, &inbound.channel, inbound.channel_kind)
    }

    pub(super) fn new_record(
        &self,
        key: &ConversationKey,
        start: &Start,
        creator: &UserId,
        text: &str,
    ) -> SessionRecord {
        let now_ms = self.parts.clock.wall_ms();
        SessionRecord {
            id: SessionId::new(),
            conversation: key.clone(),
            backend: start.backend.clone(),
            backend_ref: None,
            working_dir: start.working_dir.clone(),
            description: text.chars().take(DESCRIPTION).collect(),
            creator: creator.clone(),
            created_ms: now_ms,
            last_active_ms: now_ms,
            status: SessionStatus::Active,
        }
    }

    /// Puts a message into its conversation's queue and wakes the conversation.
    pub(super) fn enqueue(
        self: &Arc<Self>,
        seq: i64,
        inbound: Inbound,
        admitted: Admitted,
        permit: OwnedSemaphorePermit,
    ) {
        let (Some(key), What::Message(message)) = (inbound.conversation(), inbound.what) else { return };
        let kind = inbound.channel_kind;
        self.enqueue_work(&key, Work { seq, message, kind, admitted, intent: None, start: None, _permit: permit });
    }

    fn enqueue_work(self: &Arc<Self>, key: &ConversationKey, work: Work) {
        let idle = {
            let mut slots = self.slots();
            if slots.draining {
                return;
            }
            let slot = slots.entry(key);
            slot.queue.push_back(work);
            let idle = matches!(slot.phase, Phase::Idle);
            if idle {
                slot.phase = Phase::Running;
            }
            idle
        };
        if idle {
            self.run_conversation(key.clone());
        }
    }

    /// The same, once there is room for one more in memory.
    pub(super) async fn enqueue_when_there_is_room(self: &Arc<Self>, seq: i64, inbound: Inbound, admitted: Admitted) {
        if let Ok(permit) = self.permits.clone().acquire_owned().await {
            self.enqueue(seq, inbound, admitted, permit);
        }
    }

    /// The same for the first prompt of a session that begins with it.
    pub(super) async fn enqueue_first(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        prompt: String,
        by: &Admitted,
        start: Start,
    ) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
        let message = Message { ts: key.thread.clone(), thread: None, text: prompt, mention: true, files: 0 };
        let kind = ChannelKind::Unknown;
        let work = Work { seq, message, kind, admitted: by.clone(), intent: None, start: Some(start), _permit: permit };
        self.enqueue_work(key, work);
    }

    pub(super) fn run_conversation(self: &Arc<Self>, key: ConversationKey) {
        let inner = self.clone();
        self.parts.scope.spawn("conversation", OnCrash::Log, async move { inner.converse(key).await });
    }

    /// Waits until no conversation has work in hand.
    async fn at_rest(&self) {
        loop {
            let rested = self.rested.notified();
            tokio::pin!(rested);
            rested.as_mut().enable();
            if self.slots().busy() == 0 {
                return;
            }
            rested.await;
        }
    }

    /// The next message of a conversation, or its rest.
    pub(super) fn next(&self, key: &ConversationKey) -> Option<Work> {
        let work = self.slots().next(key);
        if work.is_none() {
            self.rested.notify_waiters();
        }
        work
    }

    pub(super) async fn done(&self, seq: i64) {
        if let Err(error) = self.parts.store.done(seq).await {
            tracing::warn!(%error, "A handled message is not marked as such; after a restart it is handled again");
        }
    }

    /// Waits until `leaving`, the end or the release of a live session, is done, and says in one line when that fails.
    pub(super) async fn see_off(
        &self,
        key: &ConversationKey,
        deadline: Instant,
        leaving: impl Future<Output = Result<(), BackendError>>,
    ) -> bool {
        let leaving = AssertUnwindSafe(leaving).catch_unwind();
        match self.parts.clock.timeout_at(deadline, leaving).await {
            Ok(Ok(Ok(()))) => return true,
            Ok(Ok(Err(error))) => tracing::warn!(conversation = %key, %error, "A session did not end properly"),
            Ok(Err(_panic)) => tracing::error!(conversation = %key, "A session crashed while it ended"),
            Err(_late) => tracing::warn!(conversation = %key, "A session did not end in time"),
        }
        false
    }

    async fn shut_down(&self, name: &str, backend: &dyn Backend, deadline: Instant) {
        let stopping = AssertUnwindSafe(backend.shutdown(deadline)).catch_unwind();
        match self.parts.clock.timeout_at(deadline, stopping).await {
            Ok(Ok(())) => {}
            Ok(Err(_panic)) => tracing::error!(backend = name, "A backend crashed while it stopped"),
            Err(_late) => tracing::warn!(backend = name, "A backend did not stop in time"),
        }
    }

    /// Rows that say `markdown` in a conversation.
    pub(super) fn say(&self, key: &ConversationKey, turn: Option<TurnId>, markdown: &str) -> Vec<Owed> {
        let parts = self.parts.render.parts(markdown);
        let row = |text| Owed { id: OwedId::new(), conversation: key.clone(), turn, op: Op::Post(Body::Text(text)) };
        parts.into_iter().map(row).collect()
    }

    /// Ends a turn that was cut off.
    pub(super) async fn close_interrupted(&self, turn: crate::store::Interrupted) -> Result<(), StoreError> {
        let end = crate::store::TurnEnd {
            turn: turn.turn,
            seq: turn.seq,
            session: turn.session,
            outcome: "interrupted",
            session_ended: false,
            owed: self.say(&turn.conversation, Some(turn.turn), words::INTERRUPTED),
            now_ms: self.parts.clock.wall_ms(),
        };
        self.parts.store.finish_turn(end.clone()).await?;
        let _nobody_waits = self.parts.outbox.send(end.owed);
        Ok(())
    }
}
