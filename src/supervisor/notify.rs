//! What the service manager is told; nothing happens without one.

use sd_notify::NotifyState;

/// The first hello has come: messages are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("Connected to Slack")]);
}

/// The orderly stop has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Draining")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "The service manager could not be told");
    }
}
