//! Idle sessions: after a while without use what runs for them is released. Their mappings stay, and the next message brings them back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::OwnedMutexGuard;

use crate::domain::conversation::ConversationKey;
use crate::scope::OnCrash;

use super::manager::Inner;
use super::pool::CLEAN_UP;

/// How often idle sessions are looked for.
const EVERY: Duration = Duration::from_mins(1);

impl Inner {
    /// Begins to look for idle sessions, unless they never expire.
    pub(super) fn start_reaper(self: &Arc<Self>) {
        let Some(expiry) = self.parts.policy.idle_expiry else { return };
        let inner = self.clone();
        self.parts.scope.spawn("reaper", OnCrash::Stop, async move { inner.reap_until_finish(expiry).await });
    }

    /// A release that has begun is not broken off.
    async fn reap_until_finish(&self, expiry: Duration) {
        let clock = &self.parts.clock;
        while self.parts.scope.finish().run_until_cancelled(clock.sleep(EVERY)).await.is_some() {
            if let Some(before) = clock.now().checked_sub(expiry) {
                self.reap(before).await;
            }
        }
    }

    /// Releases what nobody has used since `before`, side by side.
    async fn reap(&self, before: Instant) {
        let idle = self.slots().idle_since(before);
        join_all(idle.into_iter().map(|(key, gate)| self.expire(key, gate, before))).await;
    }

    /// Whoever wants the session meanwhile waits at the gate until it is gone.
    async fn expire(&self, key: ConversationKey, gate: OwnedMutexGuard<()>, before: Instant) {
        let Some(session) = self.slots().take_idle(&key, before) else { return };
        tracing::info!(conversation = %key, "A session is idle and is released; the next message brings it back");
        metrics::counter!("hitchline_sessions_expired_total").increment(1);
        self.release(&key, &session, CLEAN_UP).await;
        drop(gate);
        self.slots().forget_if_empty(&key);
    }
}
