//! What was sent and what was acknowledged, in order, for tests to look at.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::simulator::ids::Ts;

/// How many envelopes, and how many acknowledgements, are remembered; beyond that the oldest are forgotten, and acknowledgements
/// of them are ignored. Whoever wants all of a long run asks in time for what is new, by its number.
const KEPT: usize = 100_000;

/// The record of envelopes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: VecDeque<Record>,
    by_id: HashMap<String, u64>,
    acknowledged: VecDeque<Acknowledgement>,
    last_sent: u64,
    last_acknowledged: u64,
}

/// What happened to one envelope.
#[derive(Debug, Clone, Serialize)]
pub(in crate::simulator) struct Record {
    /// Counts the envelopes from 1.
    pub(super) n: u64,
    pub(super) envelope_id: String,
    #[serde(flatten)]
    pub(super) event: Option<Named>,
    pub(super) r#type: &'static str,
    pub(super) attempt: usize,
    /// The connection it went to; `None` when none was greeted.
    pub(super) connection: Option<u64>,
    pub(super) sent_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acked_ms: Option<i64>,
    pub(super) acks: u32,
    /// What is delivered by it, maybe not for the first time.
    #[serde(skip)]
    pub(super) delivery: u64,
}

/// What an event is known by.
#[derive(Debug, Clone, Serialize)]
pub(in crate::simulator) struct Named {
    pub(super) event_id: Arc<str>,
    /// The message that it carries; `None` when it carries none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<Ts>,
}

impl Named {
    /// An event around `inner`.
    pub(in crate::simulator) fn new(event_id: &str, inner: &Value) -> Self {
        let ts = inner["ts"].as_str().and_then(|ts| ts.parse().ok());
        Self { event_id: event_id.into(), ts }
    }
}

/// An acknowledgement, as it came in.
#[derive(Debug, Clone, Serialize)]
pub(in crate::simulator) struct Acknowledgement {
    /// Counts the acknowledgements from 1.
    pub(super) n: u64,
    pub(super) envelope_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<Arc<str>>,
    /// Wall time, milliseconds since the epoch.
    pub(super) at_ms: i64,
}

impl Ledger {
    /// Remembers an envelope and gives it its number.
    pub(super) fn send(&mut self, record: Record) {
        if self.sent.len() >= KEPT
            && let Some(oldest) = self.sent.pop_front()
        {
            self.by_id.remove(&oldest.envelope_id);
        }
        self.last_sent += 1;
        self.by_id.insert(record.envelope_id.clone(), self.last_sent);
        self.sent.push_back(Record { n: self.last_sent, ..record });
    }

    /// Counts an acknowledgement and returns the delivery it is for; `None` when no such envelope is known.
    pub(super) fn acknowledge(&mut self, envelope_id: &str, at_ms: i64) -> Option<u64> {
        let record = self.find(envelope_id)?;
        record.acks += 1;
        record.acked_ms.get_or_insert(at_ms);
        let (delivery, event_id) = (record.delivery, record.event.as_ref().map(|event| event.event_id.clone()));
        if self.acknowledged.len() >= KEPT {
            self.acknowledged.pop_front();
        }
        self.last_acknowledged += 1;
        let envelope_id = envelope_id.to_owned();
        self.acknowledged.push_back(Acknowledgement { n: self.last_acknowledged, envelope_id, event_id, at_ms });
        Some(delivery)
    }

    /// The envelopes after number `after`, oldest first, at most `limit`.
    pub(super) fn sent(&self, after: u64, limit: usize) -> Vec<Record> {
        let start = self.sent.partition_point(|record| record.n <= after);
        self.sent.range(start..).take(limit).cloned().collect()
    }

    /// The acknowledgements after number `after`, oldest first, at most `limit`.
    pub(super) fn acknowledged(&self, after: u64, limit: usize) -> Vec<Acknowledgement> {
        let start = self.acknowledged.partition_point(|ack| ack.n <= after);
        self.acknowledged.range(start..).take(limit).cloned().collect()
    }

    fn find(&mut self, envelope_id: &str) -> Option<&mut Record> {
        let number = *self.by_id.get(envelope_id)?;
        let index = usize::try_from(number.checked_sub(self.sent.front()?.n)?).ok()?;
        self.sent.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(envelope_id: &str, delivery: u64) -> Record {
        let (envelope_id, r#type) = (envelope_id.to_owned(), "events_api");
        let (event, connection, acked_ms) = (None, None, None);
        Record { n: 0, envelope_id, event, r#type, attempt: 0, connection, sent_ms: 0, acked_ms, acks: 0, delivery }
    }

    #[test]
    fn what_is_new_is_found_by_its_number() {
        let mut ledger = Ledger::default();
        for id in ["a", "b", "c"] {
            ledger.send(envelope(id, 7));
            ledger.acknowledge(id, 5);
        }
        let sent: Vec<_> = ledger.sent(1, 1).into_iter().map(|record| (record.n, record.envelope_id)).collect();
        assert_eq!(sent, [(2, "b".to_owned())]);
        let acks: Vec<_> =
            ledger.acknowledged(1, 9).into_iter().map(|ack| (ack.n, ack.envelope_id, ack.at_ms)).collect();
        assert_eq!(acks, [(2, "b".to_owned(), 5), (3, "c".to_owned(), 5)]);
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_others_are_found_all_the_same() {
        let mut ledger = Ledger::default();
        for n in 0..KEPT as u64 + 2 {
            ledger.send(envelope(&n.to_string(), n));
        }
        assert_eq!((ledger.acknowledge("1", 0), ledger.acknowledge("2", 0)), (None, Some(2)));
        let kept = ledger.sent(0, usize::MAX);
        assert_eq!((kept.len(), kept[0].n), (KEPT, 3));
        assert_eq!(ledger.by_id.len(), KEPT);
    }
}
