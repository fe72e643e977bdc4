//! One slot for each conversation that has work or a live session: what the manager knows about it in memory.
//!
//! Everything here happens under one short lock and without I/O. What people wrote is not here: it waits in the store, in two lines
//! for each conversation. A slot only knows whether a line has a task, and whether there may be more for it to fetch.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::backend::Session;
use crate::domain::access::Admitted;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::TurnId;
use crate::domain::ports::Line;
use crate::domain::session::SessionRecord;

use super::turn::Control;

/// The manager's memory.
#[derive(Default)]
pub(super) struct Slots {
    by_key: HashMap<ConversationKey, Slot>,
    /// No turn starts any more; what comes stays in the store.
    pub(super) draining: bool,
}

/// One conversation.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) mapping: Mapping,
    pub(super) turn: Option<Running>,
    turns: Phase,
    commands: Phase,
}

/// Whether a conversation's line has a task.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// None, and nothing waits but what the backlog will find.
    #[default]
    Idle,
    /// None yet: a turn is being committed together with its event.
    Claimed {
        /// What the claim reserved.
        reserved: Box<Reserved>,
        /// Something was stored meanwhile.
        more: bool,
    },
    /// One.
    Running {
        /// The store may hold more for it.
        more: bool,
    },
}

/// What was decided when a turn was claimed.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) admitted: Admitted,
    pub(super) text: String,
    pub(super) place: OwnedSemaphorePermit,
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

    /// Every line with a task or a claim.
    pub(super) fn busy(&self) -> usize {
        let lines = self.by_key.values().flat_map(|slot| [&slot.turns, &slot.commands]);
        lines.filter(|phase| !matches!(phase, Phase::Idle)).count()
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

    /// Notes that something for a line was stored. Returns false when the line has no task that would look for it.
    pub(super) fn note_more(&mut self, key: &ConversationKey, line: Line) -> bool {
        match self.by_key.get_mut(key).map(|slot| slot.phase_mut(line)) {
            Some(Phase::Running { more } | Phase::Claimed { more, .. }) => {
                *more = true;
                true
            }
            Some(Phase::Idle) | None => false,
        }
    }

    /// Whether a line's task is to look into the store once more. If not, it has ended with this, and so does a slot that holds
    /// nothing.
    pub(super) fn go_on(&mut self, key: &ConversationKey, line: Line) -> bool {
        let draining = self.draining;
        let Some(slot) = self.by_key.get_mut(key) else { return false };
        if line == Line::Turn {
            slot.turn = None;
        }
        let phase = slot.phase_mut(line);
        // While we drain, what waits stays in the store for the next start.
        if matches!(phase, Phase::Running { more: true }) && !draining {
            *phase = Phase::Running { more: false };
            return true;
        }
        *phase = Phase::Idle;
        self.forget_if_empty(key);
        false
    }

    /// Drops a slot that holds neither work nor a live session; the store knows the rest.
    pub(super) fn forget_if_empty(&mut self, key: &ConversationKey) {
        if self.by_key.get(key).is_some_and(Slot::is_empty) {
            self.by_key.remove(key);
        }
    }
}

impl Slot {
    /// How a line stands.
    pub(super) fn phase_mut(&mut self, line: Line) -> &mut Phase {
        match line {
            Line::Turn => &mut self.turns,
            Line::Command | Line::AtOnce => &mut self.commands,
        }
    }

    /// Makes a running line of one that was claimed, and returns what the claim reserved.
    pub(super) fn take_claim(&mut self) -> Option<Reserved> {
        let Phase::Claimed { more, .. } = self.turns else { return None };
        match std::mem::replace(&mut self.turns, Phase::Running { more }) {
            Phase::Claimed { reserved, .. } => Some(*reserved),
            Phase::Idle | Phase::Running { .. } => None,
        }
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

    /// Whether no turn runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.turns, Phase::Idle)
    }

    fn live(&self) -> Option<&Arc<dyn Session>> {
        self.active().and_then(|active| active.live.as_ref())
    }

    fn is_empty(&self) -> bool {
        self.is_idle() && matches!(self.commands, Phase::Idle) && self.live().is_none()
    }
}
