//! What the page listens to: every visible change, numbered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::watch;

/// How many changes can be replayed; a listener further behind misses the older ones.
const KEPT: usize = 10_000;

/// A bounded log of changes.
#[derive(Debug)]
pub(super) struct Feed {
    entries: Mutex<VecDeque<Entry>>,
    last: watch::Sender<u64>,
}

/// One change, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) json: Arc<str>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Adds a change; `fields` is an object, which gets its number and type.
    pub(super) fn push(&self, kind: &'static str, mut fields: Value) {
        let mut entries = self.lock();
        let seq = entries.back().map_or(1, |entry| entry.seq + 1);
        fields["seq"] = seq.into();
        fields["type"] = kind.into();
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry { seq, json: fields.to_string().into() });
        drop(entries);
        self.last.send_modify(|last| *last = (*last).max(seq));
    }

    /// Adds a change that carries a message.
    pub(super) fn message(&self, kind: &'static str, message: Value) {
        let mut fields = Map::new();
        fields.insert("message".to_owned(), message);
        self.push(kind, Value::Object(fields));
    }

    /// The number of the newest change, and a way to wait for newer ones.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// The changes after `seq` that are still kept, oldest first.
    pub(super) fn after(&self, seq: u64) -> Vec<Entry> {
        let entries = self.lock();
        let start = entries.partition_point(|entry| entry.seq <= seq);
        entries.range(start..).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_numbered_and_replayed_from_any_point() {
        let feed = Feed::new();
        for n in 0..3 {
            feed.push("status", json!({"n": n}));
        }
        let sequence: Vec<_> = feed.after(1).iter().map(|entry| entry.seq).collect();
        assert_eq!(sequence, [2, 3]);
        assert_eq!(*feed.watch().borrow(), 3);
        let first: Value = serde_json::from_str(&feed.after(0)[0].json).unwrap();
        assert_eq!(first, json!({"seq": 1, "type": "status", "n": 0}));
    }

    #[test]
    fn the_log_is_bounded() {
        let feed = Feed::new();
        for _ in 0..KEPT + 5 {
            feed.push("status", json!({}));
        }
        let kept = feed.after(0);
        assert_eq!((kept.len(), kept[0].seq), (KEPT, 6));
    }
}
