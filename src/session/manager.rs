//! The session manager: which conversation a message wakes, what waits in the store, and how everything comes to rest.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use crate::backend::Backends;
use crate::clock::Clock;
use crate::domain::access::{Admitted, Denied, Gate};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, SessionId, TurnId, UserId};
use crate::domain::inbound::Inbound;
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::{Files, Line, Render, SlackRead, SlackWrite, Toolbox};
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::outbox::Outbox;
use crate::scope::Scope;
use crate::store::{Store, StoreError};

use super::channels::WholeChannels;
use super::commands::{Adopting, Presses};
use super::crashes::Crashes;
use super::holds::Holds;
use super::lines::{Delivered, Later, Queue};
use super::policy::{Policy, Start};
use super::slots::Slots;

/// How many answers for one person alone may be on their way; a further one is left out.
const ASIDES: usize = 64;
/// How many slash commands may ask agents at once; a further one is told to come again. Each may start a process.
const SLOW: usize = 8;
/// How many messages may bear a mark while they wait; further ones bear none.
const MARKS: usize = 256;
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
    /// Files that people attach, and that are shown to them.
    pub files: Arc<dyn Files>,
    /// Markdown to Slack's markup.
    pub render: Arc<dyn Render>,
    /// The agents.
    pub backends: Backends,
    /// What gives them tools for their own conversations, where there are any.
    pub toolbox: Option<Arc<dyn Toolbox>>,
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
    /// The agents that died lately.
    pub(super) crashes: Crashes,
    /// What was pressed lately.
    pub(super) presses: Presses,
    /// Bounds the slash commands that ask agents.
    pub(super) slow: Arc<Semaphore>,
    /// Bounds the answers for one person alone.
    pub(super) asides: Arc<Semaphore>,
    /// Who was just told that too many messages wait in a conversation.
    pub(super) refusals: Mutex<HashSet<(ConversationKey, UserId)>>,
    /// Strangers who were told that they may not prompt.
    pub(super) told: Mutex<HashSet<UserId>>,
    /// The agents' sessions that are being brought in.
    pub(super) adopting: Adopting,
    /// The channels that are one conversation each.
    pub(super) wide: WholeChannels,
    /// Told whenever a line comes to rest.
    pub(super) rested: Notify,
    /// How many sessions are being let go that no slot knows any more.
    pub(super) leaving: AtomicUsize,
    /// What holds turns back everywhere.
    pub(super) holds: Holds,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Manager").field(&self.stats()).finish()
    }
}

impl Manager {
    /// A manager with nothing in memory.
    pub fn new(parts: Parts) -> Self {
        let holds = Holds::new(&parts.store);
        Self(Arc::new(Inner {
            parts,
            slots: Mutex::default(),
            turns: Queue::turns(),
            commands: Queue::commands(),
            marks: Arc::new(Semaphore::new(MARKS)),
            left_until: AtomicI64::new(0),
            crashes: Crashes::default(),
            presses: Presses::default(),
            slow: Arc::new(Semaphore::new(SLOW)),
            asides: Arc::new(Semaphore::new(ASIDES)),
            refusals: Mutex::default(),
            told: Mutex::default(),
            adopting: Adopting::default(),
            wide: WholeChannels::default(),
            rested: Notify::new(),
            leaving: AtomicUsize::new(0),
            holds,
        }))
    }

    /// Takes up what the last process left, and starts to fetch what doesn't fit into memory.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for key in self.0.parts.store.channel_wide().await? {
            self.0.note_place(&key, true);
        }
        // First: what a person stopped must not wait again.
        self.0.finish_acts().await?;
        let requeued = self.0.parts.store.requeue_unreached().await?;
        if requeued > 0 {
            tracing::info!(turns = requeued, "Turns that had not reached their agents are begun again");
        }
        self.0.take_up_cut_off().await?;
        self.0.left_until.store(self.0.parts.store.newest_queued(Line::Turn).await?, Ordering::Relaxed);
        self.0.take_up_line(Line::Turn).await?;
        self.0.take_up_line(Line::Command).await?;
        self.0.start_reaper();
        self.0.take_up_outlived().await?;
        self.0.watch_closures();
        Ok(())
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

    pub(super) fn queue(&self, line: Line) -> &Queue {
        match line {
            Line::Turn => &self.turns,
            Line::Command | Line::AtOnce => &self.commands,
        }
    }

    /// Notes that a message needs nothing more.
    pub(super) async fn done(&self, key: &ConversationKey, seq: i64) -> Result<Delivered, Later> {
        self.parts.store.done(seq).await.map(|()| None).map_err(|error| Later::because(key, &error))
    }

    /// Rows that say `markdown` in a conversation.
    pub(super) fn say(&self, key: &ConversationKey, turn: Option<TurnId>, markdown: &str) -> Vec<Owed> {
        let parts = self.parts.render.parts(key.markup(), markdown);
        let row = |text| Owed {
            id: OwedId::new(),
            conversation: key.clone(),
            turn,
            answers: None,
            op: Op::Post(Body::Text(text)),
        };
        parts.into_iter().map(row).collect()
    }
}
