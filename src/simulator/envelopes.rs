//! Envelopes: which connection gets one, who acknowledged it, and when an event comes again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::connections::Connections;
use super::ids::uuid;
use crate::clock::Clock;

/// How many envelopes are remembered; beyond that the oldest are forgotten, and acks for them are ignored.
const MAX_RECORDS: usize = 100_000;
/// How many unacknowledged events wait for their next attempt; beyond that the ones due first are given up.
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
}

#[derive(Debug, Default)]
struct State {
    connections: Connections,
    records: VecDeque<Record>,
    /// Number of the record at the front of `records`.
    first: u64,
    by_id: HashMap<String, u64>,
    pending: HashMap<u64, Pending>,
    due: BTreeSet<(Instant, u64)>,
    next_pending: u64,
    /// When the redelivery loop looks again; `None` while it waits to be woken.
    armed: Option<Instant>,
    answers: HashMap<String, oneshot::Sender<Option<Value>>>,
}

/// What happened to one envelope.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Record {
    envelope_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Arc<str>>,
    r#type: &'static str,
    attempt: usize,
    /// The connection it went to; `None` when none was greeted.
    connection: Option<u64>,
    sent_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acked_ms: Option<i64>,
    acks: u32,
    #[serde(skip)]
    pending: Option<u64>,
}

/// An event that is not acknowledged yet.
#[derive(Debug, Clone)]
struct Pending {
    event_id: Arc<str>,
    payload: Arc<str>,
    attempt: usize,
    due: Instant,
}

/// How an event is to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Travel {
    Once,
    Twice,
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

impl Envelopes {
    /// Envelopes of a server whose unacknowledged events come again after each of `redelivery`.
    pub(super) fn new(clock: Clock, redelivery: Vec<Duration>) -> Self {
        Self { state: Mutex::default(), earlier: Notify::new(), clock, redelivery }
    }

    /// Does something with the connections while nothing is delivered.
    pub(super) fn with_connections<T>(&self, act: impl FnOnce(&mut Connections) -> T) -> T {
        act(&mut self.lock().connections)
    }

    /// Delivers an `events_api` payload until it is acknowledged or its attempts are used up. Returns the id of the first
    /// envelope, if one was sent at once.
    pub(super) fn event(&self, event_id: Arc<str>, payload: Arc<str>, travel: Travel) -> Option<String> {
        let now = self.clock.now();
        let mut state = self.lock();
        let id = state.next_pending;
        state.next_pending += 1;
        let delay = if let Travel::After(delay) = travel { delay } else { Duration::ZERO };
        state.wait(id, Pending { event_id, payload, attempt: 0, due: now + delay });
        let envelope_id = match travel {
            Travel::Once => self.attempt(&mut state, id, now),
            Travel::Twice => {
                state.send(id, &self.clock);
                self.attempt(&mut state, id, now)
            }
            Travel::After(_) => None,
        };
        self.wake_if_earlier(&state);
        envelope_id
    }

    /// Sends an envelope that is delivered at most once and may be answered. `None` when no connection is greeted.
    pub(super) fn question(&self, kind: &'static str, payload: &str, takes_answer: bool) -> Option<Question> {
        let envelope_id = uuid();
        let (sender, answer) = oneshot::channel();
        let mut state = self.lock();
        let frame = format!(
            r#"{{"envelope_id":"{envelope_id}","type":"{kind}","accepts_response_payload":{takes_answer},"payload":{payload}}}"#
        );
        let connection = state.connections.send(frame);
        let sent_ms = self.clock.wall_ms();
        state.record(Record {
            envelope_id: envelope_id.clone(),
            event_id: None,
            r#type: kind,
            attempt: 0,
            connection,
            sent_ms,
            acked_ms: None,
            acks: 0,
            pending: None,
        });
        connection?;
        // Abandoned answers (nobody acknowledged within the asker's patience) must not pile up.
        state.answers.retain(|_, sender| !sender.is_closed());
        state.answers.insert(envelope_id, sender);
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
        let Some(record) = state.find(&ack.envelope_id) else { return };
        record.acks += 1;
        record.acked_ms.get_or_insert_with(|| self.clock.wall_ms());
        if let Some(pending) = record.pending {
            state.settle(pending);
        }
        if let Some(asker) = state.answers.remove(&ack.envelope_id) {
            // The asker may have stopped waiting: then the answer came too late, as it may for Slack.
            let _ =
                asker.send(ack.payload.filter(|payload| payload.as_object().is_some_and(|object| !object.is_empty())));
        }
    }

    /// The envelopes sent so far, oldest first.
    pub(super) fn records(&self) -> Vec<Record> {
        self.lock().records.iter().cloned().collect()
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

    /// Sends a pending event and sets the time of its next attempt, if it has one left.
    fn attempt(&self, state: &mut State, id: u64, now: Instant) -> Option<String> {
        let envelope_id = state.send(id, &self.clock)?;
        let mut pending = state.settle(id)?;
        if let Some(delay) = self.redelivery.get(pending.attempt) {
            pending.attempt += 1;
            pending.due = now + *delay;
            state.wait(id, pending);
        }
        Some(envelope_id)
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
    fn wait(&mut self, id: u64, pending: Pending) {
        if self.pending.len() >= MAX_PENDING
            && let Some((_, oldest)) = self.due.pop_first()
        {
            self.pending.remove(&oldest);
        }
        self.due.insert((pending.due, id));
        self.pending.insert(id, pending);
    }

    fn settle(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.due.remove(&(pending.due, id));
        Some(pending)
    }

    fn send(&mut self, id: u64, clock: &Clock) -> Option<String> {
        let pending = self.pending.get(&id)?;
        let envelope_id = uuid();
        let frame = events_api(&envelope_id, pending.attempt, &pending.payload);
        let record = Record {
            envelope_id: envelope_id.clone(),
            event_id: Some(Arc::clone(&pending.event_id)),
            r#type: "events_api",
            attempt: pending.attempt,
            connection: self.connections.send(frame),
            sent_ms: clock.wall_ms(),
            acked_ms: None,
            acks: 0,
            pending: Some(id),
        };
        self.record(record);
        Some(envelope_id)
    }

    fn record(&mut self, record: Record) {
        if self.records.len() >= MAX_RECORDS
            && let Some(oldest) = self.records.pop_front()
        {
            self.by_id.remove(&oldest.envelope_id);
            self.first += 1;
        }
        self.by_id.insert(record.envelope_id.clone(), self.first + self.records.len() as u64);
        self.records.push_back(record);
    }

    fn find(&mut self, envelope_id: &str) -> Option<&mut Record> {
        let number = *self.by_id.get(envelope_id)?;
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.records.get_mut(index)
    }
}

fn events_api(envelope_id: &str, attempt: usize, payload: &str) -> String {
    let reason = if attempt == 0 { "" } else { "timeout" };
    format!(
        r#"{{"envelope_id":"{envelope_id}","type":"events_api","accepts_response_payload":false,"retry_attempt":{attempt},"retry_reason":"{reason}","payload":{payload}}}"#
    )
}

#[cfg(test)]
mod tests;
