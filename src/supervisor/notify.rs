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
            note_stall("store", patience / 2);
        }
        let due = clock.now() + patience / 4;
        clock.sleep_until(due).await;
        // Where nothing turns, nobody can say so before it does again.
        let late = clock.now().saturating_duration_since(due);
        if late > patience / 2 {
            note_stall("runtime", late);
        }
    }
}

/// Says which part of us has stood still, and for how long.
fn note_stall(part: &'static str, stood: Duration) {
    tracing::error!(part, stood_ms = stood.as_millis(), "A part of the daemon stands still");
    metrics::counter!("hitchline_stalls_total", "part" => part).increment(1);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "The service manager could not be told");
    }
}
