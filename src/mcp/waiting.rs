//! Calls that are under way, so that a client without a session can take one back.
//!
//! Newer clients hang up. Older ones say so in a request of its own, and without a session the library has nothing to relate that to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rmcp::model::RequestId;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::domain::ids::GrantId;

/// The calls of all agents.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Vec<Call>>);

#[derive(Debug)]
struct Call {
    grant: GrantId,
    /// What the client calls it.
    id: RequestId,
    given_up: Weak<Notify>,
}

/// What an older client says of a call that it does not wait for any more.
#[derive(Deserialize)]
#[serde(tag = "method", content = "params")]
enum Notification {
    #[serde(rename = "notifications/cancelled", rename_all = "camelCase")]
    Cancelled { request_id: RequestId },
}

impl Waiting {
    /// Notes a call for as long as the returned is held; that is notified when the client takes the call back.
    pub(super) fn note(&self, grant: GrantId, id: RequestId) -> Arc<Notify> {
        let given_up = Arc::new(Notify::new());
        let mut calls = self.calls();
        calls.retain(|call| call.given_up.strong_count() > 0);
        calls.push(Call { grant, id, given_up: Arc::downgrade(&given_up) });
        given_up
    }

    /// Looks whether a message takes a call back. Of two calls with the same id, by two clients of one agent, nobody can tell which one
    /// is meant: both go on.
    pub(super) fn heed(&self, grant: GrantId, message: &[u8]) {
        let Ok(Notification::Cancelled { request_id }) = serde_json::from_slice(message) else { return };
        let calls = self.calls();
        let is_meant = |call: &&Call| call.grant == grant && call.id == request_id;
        let mut meant = calls.iter().filter(is_meant).filter_map(|call| call.given_up.upgrade());
        if let (Some(call), None) = (meant.next(), meant.next()) {
            call.notify_one();
        }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const CANCELLED: &[u8] =
        br#"{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7, "reason": "late"}}"#;

    fn is_given_up(call: &Notify) -> bool {
        call.notified().now_or_never().is_some()
    }

    #[test]
    fn only_the_client_s_own_call_is_taken_back() {
        let (waiting, own, foreign) = (Waiting::default(), GrantId::new(), GrantId::new());
        let number = |n| RequestId::Number(n);
        let calls = [(own, number(7)), (own, number(8)), (own, RequestId::String("7".into())), (foreign, number(7))];
        let calls = calls.map(|(grant, id)| waiting.note(grant, id));
        for nothing in [&b"{"[..], b"{}", br#"{"method": "ping", "params": {"requestId": 7}}"#] {
            waiting.heed(own, nothing);
            assert!(!calls.iter().any(|call| is_given_up(call)));
        }
        waiting.heed(own, CANCELLED);
        assert_eq!(calls.each_ref().map(|call| is_given_up(call)), [true, false, false, false]);
    }

    #[test]
    fn what_nobody_can_tell_apart_goes_on_and_what_is_over_is_forgotten() {
        let (waiting, grant) = (Waiting::default(), GrantId::new());
        let (one, other) = (waiting.note(grant, RequestId::Number(7)), waiting.note(grant, RequestId::Number(7)));
        waiting.heed(grant, CANCELLED);
        assert!(!is_given_up(&one) && !is_given_up(&other));
        drop(one);
        waiting.heed(grant, CANCELLED);
        assert!(is_given_up(&other));
        drop(other);
        let _held = waiting.note(grant, RequestId::Number(8));
        assert_eq!(waiting.calls().len(), 1);
    }
}
