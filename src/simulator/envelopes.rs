//! Envelopes: which connection gets one, who acknowledged it, and when it comes again.

mod ledger;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::connections::Connections;
use super::ids::uuid;
use super::personality::{Holding, Personality, RedeliversOffline};
use crate::clock::Clock;
use ledger::Ledger;
pub(super) use ledger::{Acknowledgement, Named, Record};

/// How many unacknowledged deliveries wait for their next attempt; beyond that the ones due first are given up.
const MAX_PENDING: usize = 100_000;
/// Slack drops an ack of this many bytes or more.
const ACK_LIMIT: usize = 20_480;

/// The sending half of Socket Mode.
#[derive(Debug)]
pub(super) struct Envelopes {
    state: Mutex<State>,
    /// Wakes the redelivery loop when something is due before it would look again.
    earlier: Notify,
    clock: Clock,
    redelivery: Vec<Duration>,
    personality: Holding,
}

#[derive(Debug, Default)]
struct State {
    connections: Connections,
    ledger: Ledger,
    pending: HashMap<u64, Pending>,
    due: BTreeSet<(Instant, u64)>,
    /// Pending deliveries that wait for the next socket instead of for their time.
    parked: BTreeSet<u64>,
    deliveries: u64,
    /// When the redelivery loop looks again; `None` while it waits to be woken.
    armed: Option<Instant>,
    answers: HashMap<u64, oneshot::Sender<Option<Value>>>,
}

/// A delivery that is not acknowledged yet.
#[derive(Debug, Clone)]
struct Pending {
    kind: Kind,
    payload: Arc<str>,
    attempt: usize,
    due: Instant,
}

/// What is delivered.
#[derive(Debug, Clone)]
enum Kind {
    Event(Named),
    /// A click or a command, which may be answered.
    Question {
        r#type: &'static str,
        takes_answer: bool,
    },
}

/// How an event is to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Travel {
    Once,
    Twice,
    /// Over every socket, and once more.
    Everywhere,
    After(Duration),
}

/// A frame from the app; other fields are ignored.
#[derive(Debug, Deserialize)]
struct Ack {
    envelope_id: String,
    payload: Option<Value>,
}

/// An envelope that waits for the app's answer.
#[derive(Debug)]
pub(super) struct Question {
    /// `Err` never comes before the acknowledgement unless the simulator stops.
    pub(super) answer: oneshot::Receiver<Option<Value>>,
}

/// An envelope that was sent.
#[derive(Debug)]
struct Sent {
    envelope_id: String,
    connection: Option<u64>,
}

impl Envelopes {
    /// Envelopes of a server whose unacknowledged events come again after each of `redelivery`.
    pub(super) fn new(clock: Clock, redelivery: Vec<Duration>, personality: Holding) -> Self {
        Self { state: Mutex::default(), earlier: Notify::new(), clock, redelivery, personality }
    }

    /// Does something with the connections while nothing is delivered.
    pub(super) fn with_connections<T>(&self, act: impl FnOnce(&mut Connections) -> T) -> T {
        act(&mut self.lock().connections)
    }

    /// A socket was greeted: what waited for one is due now.
    pub(super) fn greeted(&self, connection: u64) {
        let mut state = self.lock();
        state.connections.greet(connection, self.clock.wall_ms());
        state.unpark(self.clock.now());
        self.wake_if_earlier(&state);
    }

    /// A socket is gone. With the last one goes what waits for another attempt, where nothing is delivered later.
    pub(super) fn closed(&self, connection: u64, reason: &'static str) {
        let mut state = self.lock();
        state.connections.close(connection, self.clock.wall_ms(), reason);
        let never = self.personality.now().redelivers_offline == RedeliversOffline::Never;
        if never && !state.connections.any_greeted() {
            state.give_up_all();
        }
    }

    /// Delivers an `events_api` payload until it is acknowledged or its attempts are used up. Returns the id of the first
    /// envelope, if one was sent at once.
    pub(super) fn event(&self, event: Named, payload: Arc<str>, travel: Travel) -> Option<String> {
        let now = self.clock.now();
        let mut state = self.lock();
        let delay = if let Travel::After(delay) = travel { delay } else { Duration::ZERO };
        let id = state.begin(Pending { kind: Kind::Event(event), payload, attempt: 0, due: now + delay });
        let envelope_id = match travel {
            Travel::Once => self.attempt(&mut state, id, now),
            Travel::Twice => {
                state.send(id, None, &self.clock, self.personality.now());
                self.attempt(&mut state, id, now)
            }
            Travel::Everywhere => {
                for connection in state.connections.greeted() {
                    state.send(id, Some(connection), &self.clock, self.personality.now());
                }
                self.attempt(&mut state, id, now)
            }
            Travel::After(_) => None,
        };
        self.wake_if_earlier(&state);
        envelope_id
    }

    /// Sends a click or a command, once unless those come again too. `None` when no connection is greeted.
    pub(super) fn question(&self, r#type: &'static str, payload: &str, takes_answer: bool) -> Option<Question> {
        let now = self.clock.now();
        let personality = self.personality.now();
        let (sender, answer) = oneshot::channel();
        let mut state = self.lock();
        let kind = Kind::Question { r#type, takes_answer };
        let id = state.begin(Pending { kind, payload: payload.into(), attempt: 0, due: now });
        let sent = state.send(id, None, &self.clock, personality);
        let pending = state.settle(id)?;
        sent?.connection?;
        if personality.retries_clicks {
            self.schedule(&mut state, id, pending, now);
        }
        // Abandoned answers (nobody acknowledged within the asker's patience) must not pile up.
        state.answers.retain(|_, sender| !sender.is_closed());
        state.answers.insert(id, sender);
        self.wake_if_earlier(&state);
        Some(Question { answer })
    }

    /// Takes a text frame from the app; what is no ack, or too large for one, is ignored as Slack does.
    pub(super) fn take(&self, text: &str) {
        if text.len() >= ACK_LIMIT {
            tracing::debug!(bytes = text.len(), "Dropped an acknowledgement that Slack would drop for its size");
            return;
        }
        let Ok(ack) = serde_json::from_str::<Ack>(text) else { return };
        let mut state = self.lock();
        let Some(delivery) = state.ledger.acknowledge(&ack.envelope_id, self.clock.wall_ms()) else { return };
        state.settle(delivery);
        if let Some(asker) = state.answers.remove(&delivery) {
            // The asker may have stopped waiting: then the answer came too late, as it may for Slack.
            let _ =
                asker.send(ack.payload.filter(|payload| payload.as_object().is_some_and(|object| !object.is_empty())));
        }
    }

    /// The envelopes after number `after`, oldest first, at most `limit`.
    pub(super) fn sent(&self, after: u64, limit: usize) -> Vec<Record> {
        self.lock().ledger.sent(after, limit)
    }

    /// The acknowledgements after number `after`, oldest first, at most `limit`.
    pub(super) fn acknowledged(&self, after: u64, limit: usize) -> Vec<Acknowledgement> {
        self.lock().ledger.acknowledged(after, limit)
    }

    /// Sends what is due, for ever.
    pub(super) async fn redeliver(&self) {
        loop {
            let next = self.send_due();
            let earlier = self.earlier.notified();
            match next {
                Some(due) => tokio::select! {
                    () = self.clock.sleep_until(due) => {}
                    () = earlier => {}
                },
                None => earlier.await,
            }
        }
    }

    fn send_due(&self) -> Option<Instant> {
        let now = self.clock.now();
        let mut state = self.lock();
        while let Some(&(due, id)) = state.due.first() {
            if due > now {
                break;
            }
            self.attempt(&mut state, id, now);
        }
        state.armed = state.due.first().map(|&(due, _)| due);
        state.armed
    }

    /// Sends a pending delivery and sets the time of its next attempt, if it has one left.
    fn attempt(&self, state: &mut State, id: u64, now: Instant) -> Option<String> {
        let personality = self.personality.now();
        let offline = !state.connections.any_greeted();
        if offline && personality.redelivers_offline == RedeliversOffline::Kept {
            state.park(id);
            return None;
        }
        let sent = state.send(id, None, &self.clock, personality)?;
        let pending = state.settle(id)?;
        if !(offline && personality.redelivers_offline == RedeliversOffline::Never) {
            self.schedule(state, id, pending, now);
        }
        Some(sent.envelope_id)
    }

    fn schedule(&self, state: &mut State, id: u64, pending: Pending, now: Instant) {
        if let Some(delay) = self.redelivery.get(pending.attempt) {
            state.wait(id, Pending { attempt: pending.attempt + 1, due: now + *delay, ..pending });
        }
    }

    fn wake_if_earlier(&self, state: &State) {
        let first = state.due.first().map(|&(due, _)| due);
        if first.is_some() && (state.armed.is_none() || first < state.armed) {
            self.earlier.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins a delivery and returns its number.
    fn begin(&mut self, pending: Pending) -> u64 {
        self.deliveries += 1;
        self.wait(self.deliveries, pending);
        self.deliveries
    }

    fn wait(&mut self, id: u64, pending: Pending) {
        if self.pending.len() >= MAX_PENDING {
            let first = self.due.first().map(|&(_, id)| id).or(self.parked.first().copied());
            first.and_then(|first| self.settle(first));
        }
        self.due.insert((pending.due, id));
        self.pending.insert(id, pending);
    }

    fn settle(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.due.remove(&(pending.due, id));
        self.parked.remove(&id);
        Some(pending)
    }

    /// From now on it waits for the next socket.
    fn park(&mut self, id: u64) {
        if let Some(pending) = self.pending.get(&id) {
            self.due.remove(&(pending.due, id));
            self.parked.insert(id);
        }
    }

    /// What waits for a socket is due, in the order in which it happened.
    fn unpark(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.parked) {
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.due = now;
                self.due.insert((now, id));
            }
        }
    }

    fn give_up_all(&mut self) {
        self.pending.clear();
        self.due.clear();
        self.parked.clear();
    }

    /// Sends a pending delivery over this connection, or over one that is drawn.
    fn send(&mut self, id: u64, over: Option<u64>, clock: &Clock, personality: Personality) -> Option<Sent> {
        let pending = self.pending.get(&id)?;
        let envelope_id = uuid();
        let (event, r#type) = match &pending.kind {
            Kind::Event(event) => (Some(event.clone()), "events_api"),
            Kind::Question { r#type, .. } => (None, *r#type),
        };
        let attempt = pending.attempt;
        let connection = self.connections.send(over, frame(&envelope_id, pending, personality));
        let (sent_ms, acked_ms) = (clock.wall_ms(), None);
        let of_envelope = envelope_id.clone();
        self.ledger.send(Record {
            n: 0,
            envelope_id: of_envelope,
            event,
            r#type,
            attempt,
            connection,
            sent_ms,
            acked_ms,
            acks: 0,
            delivery: id,
        });
        Some(Sent { envelope_id, connection })
    }
}

fn frame(envelope_id: &str, pending: &Pending, personality: Personality) -> String {
    let Pending { kind, payload, attempt, .. } = pending;
    let (r#type, takes_answer) = match kind {
        Kind::Event(_) => ("events_api", false),
        Kind::Question { r#type, takes_answer } => (*r#type, *takes_answer),
    };
    let again = *attempt > 0;
    let retry = match kind {
        Kind::Question { .. } if !again => String::new(),
        _ => format!(r#""retry_attempt":{attempt},"retry_reason":"{}","#, if again { "timeout" } else { "" }),
    };
    let emptied = (again && personality.empty_text_redelivery).then(|| without_text(payload)).flatten();
    let payload = emptied.as_deref().unwrap_or(payload);
    format!(
        r#"{{"envelope_id":"{envelope_id}","type":"{type}","accepts_response_payload":{takes_answer},{retry}"payload":{payload}}}"#
    )
}

/// An event's payload with an empty text; `None` when it has none.
fn without_text(payload: &str) -> Option<String> {
    let mut payload: Value = serde_json::from_str(payload).ok()?;
    *payload.get_mut("event")?.get_mut("text")? = json!("");
    Some(payload.to_string())
}

#[cfg(test)]
mod tests;
