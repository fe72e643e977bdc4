//! The pool of sessions: its numbers, and how it comes to rest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::backend::error::BackendError;
use crate::backend::{Backend, Session};
use crate::domain::conversation::ConversationKey;

use super::manager::{Inner, Manager};
use super::turn::StopReason;

/// How long a backend may take to clean up after a session that was released or ended.
pub(super) const CLEAN_UP: Duration = Duration::from_secs(8);
/// How often it is said how far draining is.
const PROGRESS: Duration = Duration::from_secs(1);

/// The pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Sessions that a backend runs now.
    pub total: usize,
    /// Of these, those that take prompts.
    pub active: usize,
    /// Of these, those that are being let go: ended or expired ones, and when we stop all of them.
    pub draining: usize,
    /// Lines of conversations with work in hand.
    pub busy: usize,
    /// Whether no turn starts any more.
    pub closed: bool,
}

impl Manager {
    /// The pool in numbers.
    pub fn stats(&self) -> Stats {
        let leaving = self.0.leaving.load(Ordering::Relaxed);
        let slots = self.0.slots();
        let (live, busy, closed) = (slots.live(), slots.busy(), slots.draining);
        let (active, draining) = if closed { (0, live + leaving) } else { (live, leaving) };
        Stats { total: live + leaving, active, draining, busy, closed }
    }

    /// Starts no more turns and waits for the running ones, until `grace` at the latest; then tells what is left to stop, and waits
    /// until `deadline` for that. Safe to call twice.
    pub async fn drain(&self, grace: Instant, deadline: Instant) {
        self.0.slots().draining = true;
        self.0.holds.stop();
        tracing::info!(turns = self.0.slots().busy(), "Draining: no turn starts any more");
        if !self.0.rests_by(grace).await {
            self.interrupt();
            if !self.0.rests_by(deadline).await {
                tracing::warn!(
                    turns = self.0.slots().busy(),
                    "Some turns did not stop in time; they are told after the restart"
                );
            }
        }
    }

    /// Cancels every running turn, and every one that still begins, and tells its conversation why.
    pub fn interrupt(&self) {
        let mut slots = self.0.slots();
        slots.interrupting = true;
        for running in slots.running() {
            tracing::info!(turn.id = %running.turn, "Interrupting a turn");
            running.stop(StopReason::Interrupt);
        }
    }

    /// Releases every live session on its backend, all side by side, by the deadline; one that may outlive us is left running. The mappings
    /// stay: the next message after a restart resumes them. Returns how many did not end properly. Safe to call twice, side by side, and again when it was left half-way.
    pub async fn release(&self, deadline: Instant) -> usize {
        let live = self.0.slots().live_sessions();
        tracing::info!(sessions = live.len(), "Releasing the live sessions");
        let release = async |(key, session): (ConversationKey, Arc<dyn Session>)| {
            let released = self.0.has_left(&key, deadline, session.detach(deadline)).await;
            // Only now: a release that is left half-way is begun again by the next call.
            self.0.slots().forget_live(&key, &session);
            released
        };
        let failures = join_all(live.into_iter().map(release)).await.into_iter().filter(|released| !released).count();
        join_all(
            self.0.parts.backends.iter().map(|(name, backend)| self.0.shut_down(name, backend.as_ref(), deadline)),
        )
        .await;
        failures
    }
}

impl Inner {
    /// Waits until no conversation has work in hand, by the deadline; says every second how far that is. Returns whether it is so.
    async fn rests_by(&self, deadline: Instant) -> bool {
        let clock = &self.parts.clock;
        loop {
            let step = deadline.min(clock.now() + PROGRESS);
            if clock.timeout_at(step, self.at_rest()).await.is_ok() {
                return true;
            }
            if step == deadline {
                return false;
            }
            tracing::info!(turns = self.slots().busy(), "Draining: turns still run");
        }
    }

    /// Waits until no conversation has work in hand.
    async fn at_rest(&self) {
        loop {
            let rested = self.rested.notified();
            tokio::pin!(rested);
            rested.as_mut().enable();
            if self.slots().busy() == 0 {
                return;
            }
            rested.await;
        }
    }

    /// Releases a session that no slot holds any more, and waits for that.
    pub(super) async fn release(&self, key: &ConversationKey, session: &Arc<dyn Session>, within: Duration) {
        let deadline = self.parts.clock.now() + within;
        self.see_off(key, deadline, session.release(deadline)).await;
    }

    /// Waits until `leaving`, the end or the release of a session that no slot holds any more, is done.
    pub(super) async fn see_off(
        &self,
        key: &ConversationKey,
        deadline: Instant,
        leaving: impl Future<Output = Result<(), BackendError>>,
    ) {
        let _counted = Counted::one_more(&self.leaving);
        self.has_left(key, deadline, leaving).await;
    }

    /// Waits until `leaving`, the end or the release of a live session, is done, and says in one line when that fails.
    async fn has_left(
        &self,
        key: &ConversationKey,
        deadline: Instant,
        leaving: impl Future<Output = Result<(), BackendError>>,
    ) -> bool {
        let leaving = AssertUnwindSafe(leaving).catch_unwind();
        match self.parts.clock.timeout_at(deadline, leaving).await {
            Ok(Ok(Ok(()))) => return true,
            Ok(Ok(Err(error))) => tracing::warn!(conversation = %key, %error, "A session did not end properly"),
            Ok(Err(_panic)) => tracing::error!(conversation = %key, "A session crashed while it ended"),
            Err(_late) => tracing::warn!(conversation = %key, "A session did not end in time"),
        }
        false
    }

    async fn shut_down(&self, name: &str, backend: &dyn Backend, deadline: Instant) {
        let stopping = AssertUnwindSafe(backend.shutdown(deadline)).catch_unwind();
        match self.parts.clock.timeout_at(deadline, stopping).await {
            Ok(Ok(())) => {}
            Ok(Err(_panic)) => tracing::error!(backend = name, "A backend crashed while it stopped"),
            Err(_late) => tracing::warn!(backend = name, "A backend did not stop in time"),
        }
    }
}

/// Counts while it lives, also when whoever waits is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
