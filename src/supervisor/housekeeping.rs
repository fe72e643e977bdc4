//! What must be done now and then, or watched, until the listeners close.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Readiness;
use crate::clock::Clock;
use crate::scope::{OnCrash, Scope};
use crate::store::Store;
use crate::telemetry::Counters;

use super::notify;
use super::storage::Storage;

/// How often the counters are tidied up.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How often what is old is removed from the store.
const PURGE_EVERY: Duration = Duration::from_hours(1);
/// How long after the start the first snapshot of the store is taken; by then it knows of this run.
const FIRST_SNAPSHOT: Duration = Duration::from_mins(1);
/// How often a further one is, if anything has changed.
const SNAPSHOT_EVERY: Duration = Duration::from_mins(15);

/// The tasks' owner and their end.
pub(super) struct Housekeeping<'a> {
    pub(super) scope: &'a Scope,
    pub(super) close: &'a CancellationToken,
}

impl Housekeeping<'_> {
    /// Watches the store's thread, whose end is a crash of the daemon, and keeps the store small and its snapshots young, as long as
    /// they leave `min_free` bytes on the disk.
    pub(super) fn store(&self, store: &Store, min_free: u64, clock: &Clock) {
        let watched = store.clone();
        self.keep("store", OnCrash::Stop, async move { watched.ended().await });
        let (asked, asking) = (store.clone(), clock.clone());
        self.keep("disk", OnCrash::Stop, async move { asked.watch_disk(asking).await });
        if let Some(patience) = notify::watchdog() {
            self.keep("watchdog", OnCrash::Stop, notify::feed_watchdog(store.clone(), clock.clone(), patience));
        }
        self.keep("purge", OnCrash::Log, purge(store.clone(), clock.clone()));
        self.keep("snapshots", OnCrash::Log, take_snapshots(store.clone(), min_free, clock.clone()));
    }

    /// Keeps the counters small, whether or not somebody reads them.
    pub(super) fn counters(&self, counters: Counters, clock: Clock) {
        self.keep("counters", OnCrash::Log, async move {
            loop {
                clock.sleep(TIDY_EVERY).await;
                counters.tidy();
            }
        });
    }

    /// Tells the probes while Slack refuses the bot's token.
    pub(super) fn refusals(&self, refused: watch::Receiver<Option<String>>, readiness: watch::Sender<Readiness>) {
        self.keep("refusals", OnCrash::Log, report(refused, readiness));
    }

    /// Closes the sockets while nothing can be stored.
    pub(super) fn storage(&self, storage: Storage) {
        self.keep("storage", OnCrash::Stop, storage.watch());
    }

    /// Holds turns back for a while.
    pub(super) fn safe_mode(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.keep("safe-mode", OnCrash::Stop, task);
    }

    fn keep(&self, name: &'static str, on_crash: OnCrash, task: impl Future<Output = ()> + Send + 'static) {
        self.scope.spawn(name, on_crash, self.close.clone().run_until_cancelled_owned(task).map(drop));
    }
}

async fn purge(store: Store, clock: Clock) {
    let started = clock.now();
    let newest_ms = store.newest_message_ms().await.ok().flatten();
    loop {
        let now_ms = at_most_now(clock.wall_ms(), newest_ms, clock.now() - started);
        if let Err(error) = store.purge(now_ms).await {
            tracing::warn!(%error, "What is old could not be removed from the store; trying again in an hour");
        }
        clock.sleep(PURGE_EVERY).await;
    }
}

/// A time that is not later than it can be: a wall clock that is wrong, or jumps, makes nothing old before its time. What was newest when
/// we started is as old as we have run, whatever the clock says.
fn at_most_now(wall_ms: i64, newest_ms: Option<i64>, running: Duration) -> i64 {
    let running_ms = i64::try_from(running.as_millis()).unwrap_or(i64::MAX);
    newest_ms.map_or(wall_ms, |newest| wall_ms.min(newest.saturating_add(running_ms)))
}

async fn take_snapshots(store: Store, min_free: u64, clock: Clock) {
    clock.sleep(FIRST_SNAPSHOT).await;
    loop {
        if let Err(error) = store.snapshot(min_free, clock.wall_ms()).await {
            tracing::warn!(%error, "The store goes on without a new snapshot");
        }
        clock.sleep(SNAPSHOT_EVERY).await;
    }
}

async fn report(mut refused: watch::Receiver<Option<String>>, readiness: watch::Sender<Readiness>) {
    while refused.changed().await.is_ok() {
        let code = refused.borrow_and_update().clone();
        let reason = code.map(|code| format!("slack.bot_token: Slack refuses it ({code}), so nothing is sent"));
        readiness.send_modify(|readiness| readiness.refused = reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_37_a_clock_that_jumps_makes_nothing_old() {
        const HOUR: i64 = 3_600_000;
        const YEAR: i64 = 365 * 24 * HOUR;
        const NOW: i64 = 50 * YEAR;
        for (wall_ms, newest_ms, running_hours, at_most) in [
            (NOW, Some(NOW), 0, NOW),
            (NOW + HOUR, Some(NOW), 1, NOW + HOUR),
            (NOW + 24 * HOUR, Some(NOW), 1, NOW + HOUR),
            (NOW + YEAR, Some(NOW), 1, NOW + HOUR),
            (NOW - HOUR, Some(NOW), 1, NOW - HOUR),
            // What came while the clock was ahead.
            (NOW, Some(NOW + YEAR), 1, NOW),
            (NOW, None, 1, NOW),
        ] {
            let running = Duration::from_hours(running_hours);
            assert_eq!(at_most_now(wall_ms, newest_ms, running), at_most, "{wall_ms} {newest_ms:?} {running_hours}");
        }
    }
}
