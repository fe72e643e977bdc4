//! One slot for each conversation that has work or a live session: what the manager knows about it in memory.
//!
//! Everything here happens under one short lock and without I/O. What people wrote is not here: it waits in the store, in two lines
//! for each conversation. A slot only knows whether a line has a task, and whether there may be more for it to fetch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot, watch};

use crate::backend::Session;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{SessionId, Ts, TurnId};
use crate::domain::ports::Line;
use crate::domain::session::SessionRecord;

use super::turn::{Controls, Press, StopReason, ToolCall};

mod line;
mod mapping;

pub(super) use line::Reserved;
use line::{Phase, State};
pub(super) use mapping::{Active, Live, Mapping};

/// How many presses of a turn's buttons may wait for it. When it is full, a press is told to be stale.
const PRESSES: usize = 16;
/// How many calls of an agent's tools may wait for its turn. When it is full, a further one is refused.
const TOOL_CALLS: usize = 16;

/// The manager's memory.
#[derive(Default)]
pub(super) struct Slots {
    by_key: HashMap<ConversationKey, Slot>,
    /// No turn starts any more; what comes stays in the store.
    pub(super) draining: bool,
    /// Every turn is being cancelled, those that still begin too.
    pub(super) interrupting: bool,
}

/// One conversation.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) mapping: Mapping,
    pub(super) turn: Option<Running>,
    turns: State,
    commands: State,
    /// The messages that wait and bear a mark, each with what takes its mark off when it is dropped.
    marks: Vec<(Ts, oneshot::Sender<()>)>,
    /// Held by whoever brings the session up or lets it go: one at a time.
    gate: Arc<Mutex<()>>,
}

/// The running turn, for whoever wants to stop it or to answer it.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) turn: TurnId,
    /// The event that asked.
    seq: i64,
    /// The message that asked.
    pub(super) asked: Ts,
    /// Where it is answered.
    pub(super) at: ConversationKey,
    /// Whether somebody was told that it has overtaken what they said before.
    told: bool,
    stop: watch::Sender<Option<StopReason>>,
    pub(super) presses: mpsc::Sender<Press>,
    pub(super) calls: mpsc::Sender<ToolCall>,
}

impl Running {
    /// A turn that is about to run, and what it listens to.
    pub(super) fn new(turn: TurnId, seq: i64, asked: Ts, at: ConversationKey) -> (Self, Controls) {
        let (stop, stopped) = watch::channel(None);
        let (presses, waiting) = mpsc::channel(PRESSES);
        let (calls, called) = mpsc::channel(TOOL_CALLS);
        let controls = Controls { stop: stopped, presses: waiting, calls: called };
        (Self { turn, seq, asked, at, told: false, stop, presses, calls }, controls)
    }

    /// Whether it was asked for before the event `seq`.
    pub(super) fn precedes(&self, seq: i64) -> bool {
        self.seq < seq
    }

    /// Stops it; the first reason counts, except that an end outranks the others. Returns whether it still runs.
    pub(super) fn stop(&self, why: StopReason) -> bool {
        self.stop.send_if_modified(|reason| {
            let counts = reason.is_none() || why == StopReason::End;
            *reason = if counts { Some(why) } else { *reason };
            counts
        });
        self.stop.receiver_count() > 0
    }
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

    /// The turn that runs for the message `asked`, in this conversation.
    pub(super) fn turn_for(&self, key: &ConversationKey, asked: &Ts) -> Option<TurnId> {
        let running = self.by_key.get(key)?.turn.as_ref()?;
        (running.asked == *asked).then_some(running.turn)
    }

    /// Whether the turn that runs is for something that was said after `said`; for each turn that is noticed once.
    pub(super) fn is_overtaken(&mut self, key: &ConversationKey, said: &Ts) -> bool {
        let running = self.by_key.get_mut(key).and_then(|slot| slot.turn.as_mut());
        let overtook = running.filter(|running| running.asked.micros() > said.micros() && said.micros().is_some());
        overtook.is_some_and(|running| !std::mem::replace(&mut running.told, true))
    }

    /// The slot in which the mapping `record` is known.
    pub(super) fn of(&self, record: &SessionRecord) -> Option<&Slot> {
        let slot = self.by_key.get(&record.conversation)?;
        slot.active().filter(|active| active.record.id == record.id).map(|_| slot)
    }

    /// The mapping `record`, unless it was ended. Its conversation may have another one by then.
    pub(super) fn active_mut(&mut self, record: &SessionRecord) -> Option<&mut Active> {
        match &mut self.by_key.get_mut(&record.conversation)?.mapping {
            Mapping::Active(active) if active.record.id == record.id => Some(active),
            _ => None,
        }
    }

    /// A turn of the session has begun that says what it does not know.
    pub(super) fn told(&mut self, key: &ConversationKey) {
        if let Some(Mapping::Active(active)) = self.by_key.get_mut(key).map(|slot| &mut slot.mapping) {
            active.live.iter_mut().for_each(|live| live.untold = false);
        }
    }

    /// Takes out what can't be prompted any more, and with `gone` the mapping too. What stays has been used now.
    pub(super) fn take_dead(&mut self, record: &SessionRecord, gone: bool, now: Instant) -> Option<Arc<dyn Session>> {
        let active = self.active_mut(record)?;
        let dead = active.live.take_if(|live| gone || !live.session.is_alive());
        if let Some(live) = &mut active.live {
            live.used = now;
        }
        if gone {
            self.entry(&record.conversation).mapping = Mapping::None;
        }
        dead.map(|live| live.session)
    }

    /// Takes out what is known of a session that has ended: what runs for it, and its turn.
    pub(super) fn take_ended(&mut self, key: &ConversationKey, id: SessionId) -> (Option<Live>, Option<Running>) {
        let slot = self.by_key.get_mut(key);
        let Some(slot) = slot.filter(|slot| slot.active().is_some_and(|active| active.record.id == id)) else {
            return (None, None);
        };
        let Mapping::Active(active) = std::mem::replace(&mut slot.mapping, Mapping::None) else { return (None, None) };
        (active.live, slot.turn.clone())
    }

    /// Forgets a mapping that the store does not confirm; whoever needs it asks again.
    pub(super) fn doubt(&mut self, record: &SessionRecord) {
        if self.active_mut(record).is_some() {
            self.entry(&record.conversation).mapping = Mapping::Unknown;
        }
    }

    /// Notes whether we begin to stop, and if so, lets go of a line in which nothing is in hand.
    pub(super) fn stops(&mut self, key: &ConversationKey, line: Line) -> bool {
        let draining = self.draining;
        if draining {
            self.give_up(key, line);
        }
        draining
    }

    /// Lets go of a line that was held back, because we begin to stop.
    pub(super) fn give_up(&mut self, key: &ConversationKey, line: Line) {
        self.entry(key).state_mut(line).phase = Phase::Idle;
        self.forget_if_empty(key);
    }

    /// The conversations at rest whose live sessions nobody has used since `before`, each with the gate that nobody else holds.
    pub(super) fn idle_since(&self, before: Instant) -> Vec<(ConversationKey, OwnedMutexGuard<()>)> {
        let idle = self.by_key.iter().filter(|(_, slot)| slot.is_idle_since(before));
        idle.filter_map(|(key, slot)| Some((key.clone(), slot.gate.clone().try_lock_owned().ok()?))).collect()
    }

    /// Takes out what is live and idle; the caller holds the gate until it is gone.
    pub(super) fn take_idle(&mut self, key: &ConversationKey, before: Instant) -> Option<Arc<dyn Session>> {
        let slot = self.by_key.get_mut(key).filter(|slot| slot.is_idle_since(before))?;
        let Mapping::Active(active) = &mut slot.mapping else { return None };
        active.live.take().map(|live| live.session)
    }

    /// Every running turn.
    pub(super) fn running(&self) -> Vec<Running> {
        self.by_key.values().filter_map(|slot| slot.turn.clone()).collect()
    }

    /// Whether a conversation's session is live, so that it takes a prompt at once.
    pub(super) fn runs(&self, key: &ConversationKey, id: SessionId) -> bool {
        let active = self.by_key.get(key).and_then(Slot::active).filter(|active| active.record.id == id);
        active.and_then(|active| active.live.as_ref()).is_some_and(|live| live.session.is_alive())
    }

    /// A running turn, with its session.
    pub(super) fn turn(&self, id: TurnId) -> Option<(SessionRecord, Running)> {
        let slot = self.by_key.values().find(|slot| slot.turn.as_ref().is_some_and(|running| running.turn == id))?;
        Some((slot.active()?.record.clone(), slot.turn.clone()?))
    }

    /// An active mapping, and its turn where one runs.
    pub(super) fn session(&self, id: SessionId) -> Option<(SessionRecord, Option<Running>)> {
        self.by_key.values().find_map(|slot| {
            let active = slot.active().filter(|active| active.record.id == id)?;
            Some((active.record.clone(), slot.turn.clone()))
        })
    }

    /// Every line with a message in hand or a claim.
    pub(super) fn busy(&self) -> usize {
        let lines = self.by_key.values().flat_map(|slot| [&slot.turns, &slot.commands]);
        lines.filter(|line| !matches!(line.phase, Phase::Idle)).count()
    }

    /// Every live session.
    pub(super) fn live_sessions(&self) -> Vec<(ConversationKey, Arc<dyn Session>)> {
        self.by_key.iter().filter_map(|(key, slot)| Some((key.clone(), slot.live()?.clone()))).collect()
    }

    /// Notes that `session` no longer runs.
    pub(super) fn forget_live(&mut self, key: &ConversationKey, session: &Arc<dyn Session>) {
        if let Some(Mapping::Active(active)) = self.get_mut(key).map(|slot| &mut slot.mapping) {
            active.live.take_if(|live| Arc::ptr_eq(&live.session, session));
        }
    }

    /// How many sessions are live.
    pub(super) fn live(&self) -> usize {
        self.by_key.values().filter(|slot| slot.live().is_some()).count()
    }

    /// Notes that a waiting message bears a mark, until what is returned ends.
    pub(super) fn mark(&mut self, key: &ConversationKey, ts: &Ts) -> Option<oneshot::Receiver<()>> {
        let slot = self.by_key.get_mut(key)?;
        let (mark, off) = oneshot::channel();
        slot.marks.push((ts.clone(), mark));
        Some(off)
    }

    /// Takes the mark off a message.
    pub(super) fn unmark(&mut self, key: &ConversationKey, ts: &Ts) {
        if let Some(slot) = self.by_key.get_mut(key) {
            slot.marks.retain(|(marked, _)| marked != ts);
        }
    }

    /// Takes the marks off all that waits.
    pub(super) fn unmark_all(&mut self, key: &ConversationKey) {
        if let Some(slot) = self.by_key.get_mut(key) {
            slot.marks.clear();
        }
    }

    /// Notes that something for a line was stored. Returns false when none of its tasks is going to look for it.
    pub(super) fn note_more(&mut self, key: &ConversationKey, line: Line) -> bool {
        let state = self.by_key.get_mut(key).map(|slot| slot.state_mut(line));
        let watched = state.filter(|state| !state.is_free());
        watched.is_some_and(|state| {
            state.more = true;
            true
        })
    }

    /// Gives a line that is free to a task that looks for what is stored.
    pub(super) fn begin(&mut self, key: &ConversationKey, line: Line) {
        self.entry(key).state_mut(line).phase = Phase::Running;
    }

    /// A line's message has been handled. Returns whether its task goes on with the next one as soon as the answer has been delivered;
    /// if not, the line is free for others meanwhile.
    pub(super) fn handled(&mut self, key: &ConversationKey, line: Line) -> bool {
        let draining = self.draining;
        let slot = self.entry(key);
        if line == Line::Turn {
            slot.turn = None;
        }
        let state = slot.state_mut(line);
        // While we drain, what waits stays in the store for the next start.
        if state.more && !draining {
            state.more = false;
            return true;
        }
        state.phase = Phase::Idle;
        state.delivering += 1;
        if line == Line::Turn && !draining {
            // Nothing waits any more, whatever became of it.
            slot.marks.clear();
        }
        false
    }

    /// A task that left its line free has seen its answer delivered. Returns whether it goes on, because something was left to it.
    pub(super) fn delivered(&mut self, key: &ConversationKey, line: Line) -> bool {
        let draining = self.draining;
        let state = self.entry(key).state_mut(line);
        state.delivering -= 1;
        if state.more && !draining && matches!(state.phase, Phase::Idle) {
            *state = State { phase: Phase::Running, more: false, delivering: state.delivering };
            return true;
        }
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
    fn state_mut(&mut self, line: Line) -> &mut State {
        match line {
            Line::Turn => &mut self.turns,
            Line::Command | Line::AtOnce => &mut self.commands,
        }
    }

    /// Reserves the conversation for a turn whose intent is about to be committed.
    pub(super) fn claim(&mut self, reserved: Reserved) {
        self.turns.phase = Phase::Claimed(Box::new(reserved));
    }

    /// Makes a running line of one that was claimed, and returns what the claim reserved.
    pub(super) fn take_claim(&mut self) -> Option<Reserved> {
        match std::mem::replace(&mut self.turns.phase, Phase::Running) {
            Phase::Claimed(reserved) => Some(*reserved),
            other => {
                self.turns.phase = other;
                None
            }
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

    /// Whether a turn may begin with the next message.
    pub(super) fn is_free(&self) -> bool {
        self.turns.is_free()
    }

    /// Whoever brings the session up or lets it go waits for this.
    pub(super) fn gate(&self) -> Arc<Mutex<()>> {
        self.gate.clone()
    }

    fn live(&self) -> Option<&Arc<dyn Session>> {
        self.active().and_then(|active| active.live.as_ref()).map(|live| &live.session)
    }

    fn is_idle_since(&self, before: Instant) -> bool {
        let at_rest = [&self.turns, &self.commands].into_iter().all(|line| matches!(line.phase, Phase::Idle));
        let live = self.active().and_then(|active| active.live.as_ref());
        at_rest && live.is_some_and(|live| live.used <= before)
    }

    fn is_empty(&self) -> bool {
        let nobody_waits = Arc::strong_count(&self.gate) == 1;
        self.turns.is_over() && self.commands.is_over() && self.live().is_none() && nobody_waits
    }
}
