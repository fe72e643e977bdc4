//! Waiting for messages that match, without looking through the world on each change.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use tokio::sync::oneshot;

use super::ids::Ts;
use super::message::Message;

/// What a waiter wants to see; everything that is set must hold.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Filter {
    pub(super) channel: String,
    /// In this thread; the root counts too.
    pub(super) thread_ts: Option<Ts>,
    pub(super) user: Option<String>,
    pub(super) text_contains: Option<String>,
    pub(super) text_is: Option<String>,
    /// At least this many messages; one when it isn't given.
    pub(super) count: Option<usize>,
    /// Only messages that are not streaming.
    #[serde(default)]
    pub(super) r#final: bool,
    /// How long to wait, milliseconds.
    pub(super) timeout_ms: Option<u64>,
}

/// Everybody who waits, by what they look at.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_place: HashMap<(String, Option<Ts>), Vec<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    filter: Filter,
    matching: BTreeSet<Ts>,
    done: oneshot::Sender<BTreeSet<Ts>>,
}

impl Filter {
    /// Whether this message is one of those wanted.
    pub(super) fn matches(&self, message: &Message) -> bool {
        !message.deleted
            && message.channel == self.channel
            && self.thread_ts.is_none_or(|thread| message.root() == thread)
            && self.user.as_ref().is_none_or(|user| *user == message.user)
            && self.text_is.as_ref().is_none_or(|text| *text == message.text)
            && self.text_contains.as_ref().is_none_or(|text| message.text.contains(text))
            && !(self.r#final && message.is_streaming())
    }

    /// Whether so many matching messages are enough.
    pub(super) fn satisfied(&self, matching: usize) -> bool {
        matching >= self.count.unwrap_or(1).max(1)
    }
}

impl Waiters {
    /// Waits on from `matching`, which holds what matches already.
    pub(super) fn add(&mut self, filter: Filter, matching: BTreeSet<Ts>) -> oneshot::Receiver<BTreeSet<Ts>> {
        let (done, receiver) = oneshot::channel();
        let place = (filter.channel.clone(), filter.thread_ts);
        let waiters = self.by_place.entry(place).or_default();
        waiters.push(Waiter { filter, matching, done });
        receiver
    }

    /// Whoever gave up is forgotten.
    pub(super) fn forget_gone(&mut self) {
        self.by_place.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.done.is_closed());
            !waiters.is_empty()
        });
    }

    /// A message is new or has changed.
    pub(super) fn see(&mut self, message: &Message) {
        if self.by_place.is_empty() {
            return;
        }
        for thread in [None, Some(message.root())] {
            let place = (message.channel.clone(), thread);
            let Some(waiters) = self.by_place.get_mut(&place) else { continue };
            for waiter in waiters.extract_if(.., |waiter| waiter.see(message)) {
                // It may have given up in this moment.
                let _ = waiter.done.send(waiter.matching);
            }
            if waiters.is_empty() {
                self.by_place.remove(&place);
            }
        }
    }
}

impl Waiter {
    /// Counts the message in or out; true when there is nothing left to wait for.
    fn see(&mut self, message: &Message) -> bool {
        if self.filter.matches(message) {
            self.matching.insert(message.ts);
        } else {
            self.matching.remove(&message.ts);
        }
        self.filter.satisfied(self.matching.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ts: u64, text: &str) -> Message {
        Message::new("C1", Ts(ts), "U1", text.to_owned())
    }

    #[test]
    fn every_filter_that_is_set_must_hold() {
        let base = || Filter { channel: "C1".to_owned(), ..Filter::default() };
        let reply = Message { thread_ts: Some(Ts(1)), ..message(2, "hello world") };
        let cases = [
            (base(), true),
            (Filter { channel: "C2".to_owned(), ..base() }, false),
            (Filter { thread_ts: Some(Ts(1)), ..base() }, true),
            (Filter { thread_ts: Some(Ts(2)), ..base() }, false),
            (Filter { user: Some("U2".to_owned()), ..base() }, false),
            (Filter { text_contains: Some("lo wo".to_owned()), ..base() }, true),
            (Filter { text_is: Some("hello".to_owned()), ..base() }, false),
            (Filter { r#final: true, ..base() }, true),
        ];
        for (filter, expected) in cases {
            assert_eq!(filter.matches(&reply), expected, "{filter:?}");
        }
        assert!(!base().matches(&Message { deleted: true, ..message(1, "gone") }));
    }

    #[test]
    fn a_waiter_is_told_when_enough_messages_match() {
        let mut waiters = Waiters::default();
        let filter =
            Filter { channel: "C1".to_owned(), text_is: Some("x".to_owned()), count: Some(2), ..Filter::default() };
        let mut receiver = waiters.add(filter, BTreeSet::from([Ts(1)]));
        waiters.see(&message(2, "y"));
        assert!(receiver.try_recv().is_err());
        waiters.see(&message(3, "x"));
        assert_eq!(receiver.try_recv().unwrap(), BTreeSet::from([Ts(1), Ts(3)]));
        assert!(waiters.by_place.is_empty());
    }

    #[test]
    fn a_message_that_stops_matching_is_counted_out() {
        let mut waiters = Waiters::default();
        let filter =
            Filter { channel: "C1".to_owned(), text_is: Some("x".to_owned()), count: Some(2), ..Filter::default() };
        let mut receiver = waiters.add(filter, BTreeSet::new());
        for (ts, text) in [(1, "x"), (1, "changed"), (2, "x")] {
            waiters.see(&message(ts, text));
        }
        assert!(receiver.try_recv().is_err());
    }
}
