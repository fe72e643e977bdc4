//! Whether Slack takes our token. When it does not, everything waits, and one attempt at a time asks again.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};

use crate::backoff::Backoff;
use crate::clock::Clock;

/// The delays between attempts with a token that was refused.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What all lanes pass before each attempt.
pub(super) struct Gate {
    /// Slack's word for a token that it does not take, while it does not.
    refused: watch::Sender<Option<String>>,
    /// Held by the lane that asks again.
    asking: Mutex<Backoff>,
}

/// Leave for one attempt.
pub(super) enum Pass<'a> {
    /// The token is not refused.
    Free,
    /// It is, and this attempt asks again. There is only one.
    Asking(MutexGuard<'a, Backoff>),
    /// The row doesn't go to Slack: what becomes of it says nothing of the token.
    Apart,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { refused: watch::Sender::new(None), asking: Mutex::new(Backoff::new(ASK_AGAIN.0, ASK_AGAIN.1)) }
    }

    /// Slack's word for a token that it does not take, while it does not.
    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.refused.subscribe()
    }

    /// Leave to go at once, while the token is not refused.
    pub(super) fn try_pass(&self) -> Option<Pass<'_>> {
        self.refused.borrow().is_none().then_some(Pass::Free)
    }

    /// Waits until an attempt may be made. Cancel safe.
    pub(super) async fn pass(&self, clock: &Clock) -> Pass<'_> {
        let mut asking = self.asking.lock().await;
        // Whoever held it before may have been told that the token is good again.
        if let Some(pass) = self.try_pass() {
            return pass;
        }
        clock.sleep(asking.next(&mut fastrand::Rng::new())).await;
        Pass::Asking(asking)
    }

    /// Slack refused the token.
    pub(super) fn shut(&self, code: &str) {
        self.refused.send_if_modified(|refused| {
            let first = refused.is_none();
            if first {
                tracing::error!(
                    code,
                    "slack.bot_token: Slack refuses it; nothing is sent until it is valid again, or until a start with another one"
                );
                *refused = Some(code.to_owned());
            }
            first
        });
    }

    /// Slack took the token, if it was asked.
    pub(super) fn open(&self, pass: Pass<'_>) {
        match pass {
            Pass::Free => {}
            Pass::Asking(mut asking) => asking.reset(),
            Pass::Apart => return,
        }
        if self.refused.send_if_modified(|refused| refused.take().is_some()) {
            tracing::info!("slack.bot_token: Slack takes it again");
        }
    }
}
