//! What the service manager is told; nothing happens without one.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::store::Store;

/// The first hello has come: messages are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("Connected to Slack")]);
}

/// The orderly stop has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Draining")]);
}

/// How long the service manager waits for a sign of life before it restarts us, when it watches at all.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

/// Gives signs of life, each after the store's writer has answered, which shows that the runtime turns as well. That a commit fails is
/// an answer: no restart mends a disk.
pub(super) async fn feed_watchdog(store: Store, clock: Clock, patience: Duration) {
    loop {
        let answered = clock.timeout(patience / 2, store.probe()).await;
        if answered.is_ok() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(waited_ms = (patience / 2).as_millis(), "The store's writer stalls");
            metrics::counter!("hitchline_stalls_total").increment(1);
        }
        clock.sleep(patience / 4).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "The service manager could not be told");
    }
}
