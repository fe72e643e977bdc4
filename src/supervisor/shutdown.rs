//! The order of stopping, and how much time each stage has. All instants are computed once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::backend;
use crate::clock::Clock;
use crate::mcp::Mcp;
use crate::settings::shutdown::Config;

use super::build::Foundation;

/// What a second signal leaves for everything.
const HURRIED: Duration = Duration::from_secs(2);
/// How much of the total is kept for the stages after the turns: sockets, outbox, sessions, store.
const RELEASE_SHARE: u32 = 2;

/// The deadlines of one stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Until then turns may finish by themselves.
    pub(super) turns: Instant,
    /// Until then cancelled turns may say so.
    pub(super) cancelled: Instant,
    /// Until then what is owed is sent.
    pub(super) outbox: Instant,
    /// Until then sessions are released.
    pub(super) sessions: Instant,
    /// By then it is over.
    pub(super) end: Instant,
}

impl Pace {
    /// The configured times.
    pub(super) fn orderly(clock: &Clock, config: &Config) -> Self {
        let now = clock.now();
        let turns = config.turn_grace.min(config.total);
        Self::spread(now, turns, config.total.saturating_sub(turns))
    }

    /// Two seconds for everything.
    pub(super) fn hurried(clock: &Clock) -> Self {
        Self::spread(clock.now(), Duration::ZERO, HURRIED)
    }

    fn spread(now: Instant, turns: Duration, rest: Duration) -> Self {
        let cancelled = now + turns + rest / 4;
        let outbox = cancelled + rest / 8;
        let sessions = outbox + rest / RELEASE_SHARE;
        Self { turns: now + turns, cancelled, outbox, sessions, end: now + turns + rest }
    }
}

impl Foundation {
    /// Ends every process that this run has started, at once and wherever it is, also what might outlive us.
    pub(super) fn abort(&self) {
        if let Some(run_id) = &self.run_id {
            let _swept = backend::kill_leftovers(run_id, &BTreeSet::new());
        }
    }

    /// Stops in order. Each stage is safe to be left in the middle and begun again.
    pub(super) async fn stop(&mut self, pace: &Pace) {
        self.readiness.send_modify(|readiness| readiness.draining = true);
        self.scope.finish().cancel();
        let manager = self.manager.borrow().clone();
        if let Some(manager) = &manager {
            manager.drain(pace.turns, pace.cancelled).await;
        }
        self.close_sockets.cancel();
        // One that has ended leaves the list before the next is waited for: begun again, none is waited for twice.
        while let Some((_, socket)) = self.sockets.last_mut() {
            let _crashed_or_late = self.clock.timeout_at(pace.outbox, socket).await;
            self.sockets.pop();
        }
        tracing::info!("sockets closed");
        if let Some(outbox) = &self.outbox {
            let owed = outbox.flush(pace.outbox).await;
            tracing::info!(conversations_left = owed, "outbox flushed");
        }
        // From here on no call to Slack begins; those on their way may come back while sessions are released.
        self.scope.stop().cancel();
        if let Some(manager) = manager {
            let failed = manager.release(pace.sessions).await;
            tracing::info!(failed, "sessions released");
        }
        self.close_listeners.cancel();
        if self.clock.timeout_at(pace.end, self.scope.wait()).await.is_err() {
            tracing::warn!(tasks = self.scope.running(), "Some tasks did not end in time and are dropped");
        }
        self.manager.send_replace(None);
        self.chat.close();
        self.mcp.iter().for_each(Mcp::close);
        if let Some(outbox) = self.outbox.take() {
            self.at_rest = outbox.is_at_rest();
        }
        if self.fresh_state.is_none() {
            let snapshot = self.store.snapshot(self.settings.store.min_free, self.clock.wall_ms());
            if let Ok(Err(error)) = self.clock.timeout_at(pace.end, snapshot).await {
                tracing::warn!(%error, "The store is closed without a snapshot");
            }
        }
        self.note_clean_end().await;
        self.store.close().await;
        self.fresh_state = None;
        tracing::info!("store closed");
        if let Some(simulator) = self.simulator.take() {
            simulator.stop().await;
            tracing::info!("simulator stopped");
        }
        self.http.release();
    }

    /// The last commit of all.
    async fn note_clean_end(&self) {
        let is_clean = self.at_rest && self.scope.crashed().is_none();
        if is_clean && let Err(error) = self.store.end_boot().await {
            tracing::debug!(%error, "That this was an orderly end can't be noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // holds: P-5
    #[test]
    fn the_stages_follow_each_other_within_the_total() {
        let (clock, _hand) = Clock::manual(0);
        for pace in [Pace::orderly(&clock, &Config::default()), Pace::hurried(&clock)] {
            let stages = [clock.now(), pace.turns, pace.cancelled, pace.outbox, pace.sessions, pace.end];
            assert!(stages.is_sorted(), "{pace:?}");
        }
        let total = Pace::orderly(&clock, &Config::default()).end - clock.now();
        assert_eq!(total, Duration::from_secs(9));
        assert_eq!(Pace::hurried(&clock).end - clock.now(), Duration::from_secs(2));
    }
}
