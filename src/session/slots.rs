//! One slot for each conversation that has work or a live session: what the manager knows about it in memory.
//!
//! Everything here happens under one short lock and without I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::backend::Session;
use crate::domain::access::Admitted;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::TurnId;
use crate::domain::inbound::{ChannelKind, Message};
use crate::domain::ports::Intent;
use crate::domain::session::SessionRecord;

use super::policy::Start;
use super::turn::Control;

/// The manager's memory.
#[derive(Default)]
pub(super) struct Slots {
    by_key: HashMap<ConversationKey, Slot>,
    /// No turn starts any more; what comes stays in the store.
    pub(super) draining: bool,
    /// Numbers of stored messages that are not in memory: after the first, up to the second.
    pub(super) backlog: Option<(i64, i64)>,
}

/// One conversation.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) mapping: Mapping,
    pub(super) queue: VecDeque<Work>,
    pub(super) turn: Option<Running>,
}

/// Whether a conversation has a task.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// None.
    #[default]
    Idle,
    /// None yet: a turn is being committed together with its event.
    Claimed(Box<Reserved>),
    /// One.
    Running,
}

/// What was decided when a turn was claimed.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) admitted: Admitted,
    pub(super) text: String,
    pub(super) permit: OwnedSemaphorePermit,
}

/// What is known about a conversation's session.
#[derive(Debug, Default)]
pub(super) enum Mapping {
    /// The store has not been asked.
    #[default]
    Unknown,
    /// There is none.
    None,
    /// There is one.
    Active(Box<Active>),
}

/// An active mapping and, when it is live, what the backend runs for it.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) record: SessionRecord,
    pub(super) live: Option<Arc<dyn Session>>,
}

/// A message that waits for its turn.
pub(super) struct Work {
    pub(super) seq: i64,
    pub(super) message: Message,
    pub(super) kind: ChannelKind,
    pub(super) admitted: Admitted,
    /// Set when the intent was committed with the event.
    pub(super) intent: Option<Intent>,
    /// Set by `new`: where the session starts that the text is the first prompt of.
    pub(super) start: Option<Start>,
    /// Bounds how much is in memory; kept until the answer is delivered.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The running turn, for whoever wants to stop it or to answer it.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) turn: TurnId,
    pub(super) controls: mpsc::Sender<Control>,
}

impl Slots {
    pub(super) fn get(&self, key: &ConversationKey) -> Option<&Slot> {
        self.by_key.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &ConversationKey) -> Option<&mut Slot> {
        self.by_key.get_mut(key)
    }

    pub(super) fn entry(&mut self, key: &ConversationKey) -> &mut Slot {
        self.by_key.entry(key.clone()).or_default()
    }

    /// The mapping `record`, unless it was ended. Its conversation may have another one by then.
    pub(super) fn active_mut(&mut self, record: &SessionRecord) -> Option<&mut Active> {
        match &mut self.by_key.get_mut(&record.conversation)?.mapping {
            Mapping::Active(active) if active.record.id == record.id => Some(active),
            _ => None,
        }
    }

    /// Takes out what can't be prompted any more, and with `gone` the mapping too.
    pub(super) fn take_dead(&mut self, record: &SessionRecord, gone: bool) -> Option<Arc<dyn Session>> {
        let active = self.active_mut(record)?;
        let dead = active.live.take_if(|live| gone || !live.is_alive());
        if gone {
            self.entry(&record.conversation).mapping = Mapping::None;
        }
        dead
    }

    /// Every running turn.
    pub(super) fn running(&self) -> Vec<Running> {
        self.by_key.values().filter_map(|slot| slot.turn.clone()).collect()
    }

    /// Every conversation with a task or a claim.
    pub(super) fn busy(&self) -> usize {
        self.by_key.values().filter(|slot| !matches!(slot.phase, Phase::Idle)).count()
    }

    /// Every live session.
    pub(super) fn live_sessions(&self) -> Vec<(ConversationKey, Arc<dyn Session>)> {
        self.by_key.iter().filter_map(|(key, slot)| Some((key.clone(), slot.live()?.clone()))).collect()
    }

    /// Notes that `session` no longer runs.
    pub(super) fn forget_live(&mut self, key: &ConversationKey, session: &Arc<dyn Session>) {
        if let Some(Mapping::Active(active)) = self.get_mut(key).map(|slot| &mut slot.mapping) {
            active.live.take_if(|live| Arc::ptr_eq(live, session));
        }
    }

    /// How many sessions are live.
    pub(super) fn live(&self) -> usize {
        self.by_key.values().filter(|slot| slot.live().is_some()).count()
    }

    /// Notes that the message with this number waits in the store only.
    pub(super) fn extend_backlog(&mut self, seq: i64) {
        let after = self.backlog.map_or(seq - 1, |(after, _)| after);
        self.backlog = Some((after, seq));
    }

    /// Notes that everything up to this number has been fetched.
    pub(super) fn advance_backlog(&mut self, seq: i64) {
        if let Some((after, _)) = &mut self.backlog {
            *after = seq;
        }
    }

    /// Ends the backlog unless it has grown beyond `last` meanwhile. Returns whether it ended.
    pub(super) fn end_backlog(&mut self, last: i64) -> bool {
        let ended = self.backlog.is_none_or(|(_, newest)| newest <= last);
        if ended {
            self.backlog = None;
        }
        ended
    }

    /// The next message of a conversation; without one its task ends here, and so does a slot that holds nothing.
    pub(super) fn next(&mut self, key: &ConversationKey) -> Option<Work> {
        let draining = self.draining;
        let slot = self.by_key.get_mut(key)?;
        slot.turn = None;
        if draining {
            // They stay in the store, for the next start; but a turn that is written down already is in flight.
            slot.queue.retain(|work| work.intent.is_some());
        }
        let work = slot.queue.pop_front();
        if work.is_none() {
            slot.phase = Phase::Idle;
            self.forget_if_empty(key);
        }
        work
    }

    /// Drops a slot that holds neither work nor a live session; the store knows the rest.
    pub(super) fn forget_if_empty(&mut self, key: &ConversationKey) {
        if self.by_key.get(key).is_some_and(Slot::is_empty) {
            self.by_key.remove(key);
        }
    }
}

impl Slot {
    /// Takes out what was waiting before the event `seq`, except what is written down as a turn already.
    pub(super) fn take_waiting(&mut self, seq: i64) -> VecDeque<Work> {
        let (waiting, kept) =
            std::mem::take(&mut self.queue).into_iter().partition(|work| work.intent.is_none() && work.seq < seq);
        self.queue = kept;
        waiting
    }

    /// Whether the conversation has a session, as far as is known.
    pub(super) fn is_mapped(&self) -> Option<bool> {
        match self.mapping {
            Mapping::Unknown => None,
            Mapping::None => Some(false),
            Mapping::Active(_) => Some(true),
        }
    }

    /// The active mapping.
    pub(super) fn active(&self) -> Option<&Active> {
        match &self.mapping {
            Mapping::Active(active) => Some(active),
            _ => None,
        }
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.queue.is_empty()
    }

    fn live(&self) -> Option<&Arc<dyn Session>> {
        self.active().and_then(|active| active.live.as_ref())
    }

    fn is_empty(&self) -> bool {
        self.is_idle() && self.live().is_none()
    }
}
