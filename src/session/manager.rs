//! The session manager: which conversation a message wakes, what waits in the store, and how everything comes to rest.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};

use crate::backend::error::BackendError;
use crate::backend::{Backend, Backends, Session};
use crate::clock::Clock;
use crate::domain::access::{Admitted, Denied, Gate};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, SessionId, TurnId, UserId};
use crate::domain::inbound::Inbound;
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::{Intent, Limit, Line, Render, SlackRead, SlackWrite};
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::outbox::Outbox;
use crate::scope::Scope;
use crate::store::{Store, StoreError};

use super::commands::Adopting;
use super::lines::{Delivered, Later, Queue};
use super::policy::{Policy, Start};
use super::slots::Slots;
use super::turn::StopReason;
use super::words;

/// How many answers for one person alone may be on their way; a further one is left out.
const ASIDES: usize = 64;
/// How many messages may bear a mark while they wait; further ones bear none.
const MARKS: usize = 256;
/// How often it is said how far draining is.
const PROGRESS: Duration = Duration::from_secs(1);
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
    /// What was said in a thread.
    pub history: Arc<dyn SlackRead>,
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
    turns: Queue,
    commands: Queue,
    /// Bounds the messages that bear a mark.
    pub(super) marks: Arc<Semaphore>,
    /// The newest message that an earlier process left waiting.
    pub(super) left_until: AtomicI64,
    /// Bounds the answers for one person alone.
    pub(super) asides: Arc<Semaphore>,
    /// Who was just told that too many messages wait in a conversation.
    pub(super) refusals: Mutex<HashSet<(ConversationKey, UserId)>>,
    /// Strangers who were told that they may not prompt.
    pub(super) told: Mutex<HashSet<UserId>>,
    /// The agents' sessions that are being brought in.
    pub(super) adopting: Adopting,
    /// The channels that are one conversation each.
    wide: Mutex<HashSet<ConversationKey>>,
    /// Told whenever a line comes to rest.
    pub(super) rested: Notify,
    /// How many sessions are being let go that no slot knows any more.
    leaving: AtomicUsize,
}

/// The pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Sessions that a backend runs now.
    pub total: usize,
    /// Of these, those that take prompts.
    pub active: usize,
    /// Of these, those that are being let go: ended or expired ones, and when we stop all of them.
    pub draining: usize,
    /// Lines of conversations with work in hand.
    pub busy: usize,
    /// Whether no turn starts any more.
    pub closed: bool,
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
            turns: Queue::turns(),
            commands: Queue::commands(),
            marks: Arc::new(Semaphore::new(MARKS)),
            left_until: AtomicI64::new(0),
            asides: Arc::new(Semaphore::new(ASIDES)),
            refusals: Mutex::default(),
            told: Mutex::default(),
            adopting: Adopting::default(),
            wide: Mutex::default(),
            rested: Notify::new(),
            leaving: AtomicUsize::new(0),
        }))
    }

    /// Takes up what the last process left, and starts to fetch what doesn't fit into memory.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for turn in self.0.parts.store.interrupted_turns().await? {
            tracing::warn!(turn.id = %turn.turn, conversation = %turn.conversation, "A turn was cut off; it is not repeated by itself");
            self.0.close_interrupted(turn).await?;
        }
        self.0.parts.store.drop_cut_off().await?;
        for key in self.0.parts.store.channel_wide().await? {
            self.0.note_place(&key, true);
        }
        self.0.left_until.store(self.0.parts.store.newest_queued(Line::Turn).await?, Ordering::Relaxed);
        self.0.take_up_line(Line::Turn).await?;
        self.0.take_up_line(Line::Command).await?;
        self.0.start_reaper();
        Ok(())
    }

    /// The pool in numbers.
    pub fn stats(&self) -> Stats {
        let leaving = self.0.leaving.load(Ordering::Relaxed);
        let slots = self.0.slots();
        let (live, busy, closed) = (slots.live(), slots.busy(), slots.draining);
        let (active, draining) = if closed { (0, live + leaving) } else { (live, leaving) };
        Stats { total: live + leaving, active, draining, busy, closed }
    }

    /// Starts no more turns and waits for the running ones, until `grace` at the latest; then tells what is left to stop, and waits
    /// until `deadline` for that. Safe to call twice.
    pub async fn drain(&self, grace: Instant, deadline: Instant) {
        self.0.slots().draining = true;
        tracing::info!(turns = self.0.slots().busy(), "Draining: no turn starts any more");
        if !self.0.rests_by(grace).await {
            self.interrupt();
            if !self.0.rests_by(deadline).await {
                tracing::warn!(
                    turns = self.0.slots().busy(),
                    "Some turns did not stop in time; they are told after the restart"
                );
            }
        }
    }

    /// Cancels every running turn, and every one that still begins, and tells its conversation why.
    pub fn interrupt(&self) {
        let mut slots = self.0.slots();
        slots.interrupting = true;
        for running in slots.running() {
            tracing::info!(turn.id = %running.turn, "Interrupting a turn");
            running.stop(StopReason::Interrupt);
        }
    }

    /// Releases every live session on its backend, all side by side, by the deadline. The mappings stay: the next message after a
    /// restart resumes them. Returns how many did not end properly. Safe to call twice, side by side, and again when it was left half-way.
    pub async fn release(&self, deadline: Instant) -> usize {
        let live = self.0.slots().live_sessions();
        tracing::info!(sessions = live.len(), "Releasing the live sessions");
        let release = async |(key, session): (ConversationKey, Arc<dyn Session>)| {
            let released = self.0.has_left(&key, deadline, session.release(deadline)).await;
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
}

/// Counts while it lives, also when whoever waits is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === What the manager's own modules share ===

impl Inner {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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
            options: BTreeMap::new(),
            status: SessionStatus::Active,
        }
    }

    /// Notes whether a session answers in a conversation, in case that is a whole channel.
    pub(super) fn note_place(&self, key: &ConversationKey, answers: bool) {
        if !key.is_channel_wide() {
            return;
        }
        let mut wide = self.wide.lock().unwrap_or_else(PoisonError::into_inner);
        if answers {
            wide.insert(key.clone())
        } else {
            wide.remove(key)
        };
    }

    /// The channel as one conversation, where it is one.
    pub(super) fn whole_channel(&self, key: &ConversationKey) -> Option<ConversationKey> {
        let whole = ConversationKey::channel_wide(key.team.clone(), key.channel.clone());
        self.wide.lock().unwrap_or_else(PoisonError::into_inner).contains(&whole).then_some(whole)
    }

    /// The turn with which a session begins, if its creator may have one more.
    pub(super) fn begin(&self, record: SessionRecord) -> Intent {
        Intent { limit: self.limit(), ..Intent::begin(record) }
    }

    /// How many sessions a person may have now.
    pub(super) fn limit(&self) -> Option<Limit> {
        let policy = &self.parts.policy;
        let now_ms = self.parts.clock.wall_ms();
        let since = |expiry: Duration| now_ms.saturating_sub(i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX));
        // Where none expires, all that are open count.
        policy.max_per_user.map(|max| Limit { max, since_ms: policy.idle_expiry.map_or(i64::MIN, since) })
    }

    /// What somebody is told who has as many sessions as one person may have.
    pub(super) fn too_many_sessions(&self) -> String {
        let policy = &self.parts.policy;
        words::too_many_sessions(policy.max_per_user.unwrap_or_default(), policy.idle_expiry)
    }

    pub(super) fn queue(&self, line: Line) -> &Queue {
        match line {
            Line::Turn => &self.turns,
            Line::Command | Line::AtOnce => &self.commands,
        }
    }

    /// Waits until no conversation has work in hand, by the deadline; says every second how far that is. Returns whether it is so.
    async fn rests_by(&self, deadline: Instant) -> bool {
        let clock = &self.parts.clock;
        loop {
            let step = deadline.min(clock.now() + PROGRESS);
            if clock.timeout_at(step, self.at_rest()).await.is_ok() {
                return true;
            }
            if step == deadline {
                return false;
            }
            tracing::info!(turns = self.slots().busy(), "Draining: turns still run");
        }
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

    /// Notes that a message needs nothing more.
    pub(super) async fn done(&self, key: &ConversationKey, seq: i64) -> Result<Delivered, Later> {
        self.parts.store.done(seq).await.map(|()| None).map_err(|error| Later::because(key, &error))
    }

    /// Waits until `leaving`, the end or the release of a session that no slot holds any more, is done.
    pub(super) async fn see_off(
        &self,
        key: &ConversationKey,
        deadline: Instant,
        leaving: impl Future<Output = Result<(), BackendError>>,
    ) {
        let _counted = Counted::one_more(&self.leaving);
        self.has_left(key, deadline, leaving).await;
    }

    /// Waits until `leaving`, the end or the release of a live session, is done, and says in one line when that fails.
    async fn has_left(
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
        let parts = self.parts.render.parts(key.markup(), markdown);
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
            session_ended: None,
            owed: self.say(&turn.conversation, Some(turn.turn), words::INTERRUPTED),
            now_ms: self.parts.clock.wall_ms(),
        };
        self.parts.store.finish_turn(end.clone()).await?;
        let _nobody_waits = self.parts.outbox.send(end.owed);
        Ok(())
    }
}
