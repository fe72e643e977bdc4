//! What must be done now and then, or watched, until the listeners close.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Readiness;
use crate::backend;
use crate::clock::Clock;
use crate::scope::{OnCrash, Scope};
use crate::session::purge_files;
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
    pub(super) clock: &'a Clock,
}

impl Housekeeping<'_> {
    /// Watches the store's thread, whose end is a crash of the daemon, and keeps the store small and its snapshots young, as long as
    /// they leave `min_free` bytes on the disk.
    pub(super) fn store(&self, store: &Store, min_free: u64) {
        let watched = store.clone();
        self.core("store", async move { watched.ended().await });
        let (asked, asking) = (store.clone(), self.clock.clone());
        self.core("disk", async move { asked.watch_disk(asking).await });
        if let Some(patience) = notify::watchdog() {
            self.core("watchdog", notify::feed_watchdog(store.clone(), self.clock.clone(), patience));
        }
        let (purged, clock) = (store.clone(), self.clock.clone());
        self.service("purge", move || purge(purged.clone(), clock.clone()));
        let (copied, clock) = (store.clone(), self.clock.clone());
        self.service("snapshots", move || take_snapshots(copied.clone(), min_free, clock.clone()));
    }

    /// Removes old files of turns from `dir`.
    pub(super) fn files(&self, dir: PathBuf) {
        let clock = self.clock.clone();
        self.service("files", move || forget_files(dir.clone(), clock.clone()));
    }

    /// Keeps the counters small, whether or not somebody reads them.
    pub(super) fn counters(&self, counters: Counters) {
        let clock = self.clock.clone();
        self.service("counters", move || tidy(counters.clone(), clock.clone()));
    }

    /// Sees to what agents leave behind when they end.
    pub(super) fn orphans(&self) {
        backend::adopt_orphans();
        let clock = self.clock.clone();
        self.service("orphans", move || backend::reap_orphans(clock.clone()));
    }

    /// Tells the probes while Slack refuses the bot's token.
    pub(super) fn refusals(&self, refused: watch::Receiver<Option<String>>, readiness: watch::Sender<Readiness>) {
        self.service("refusals", move || report(refused.clone(), readiness.clone()));
    }

    /// Closes the sockets while nothing can be stored.
    pub(super) fn storage(&self, storage: Storage) {
        self.core("storage", storage.watch());
    }

    /// Holds turns back for a while.
    pub(super) fn safe_mode(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.core("safe-mode", task);
    }

    /// A task without which the daemon must not go on.
    fn core(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.scope.spawn(name, OnCrash::Stop, self.close.clone().run_until_cancelled_owned(task).map(drop));
    }

    /// A task that is begun again when it crashes.
    fn service<F>(&self, name: &'static str, service: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.scope.keep(name, self.clock, self.close, service);
    }
}

async fn tidy(counters: Counters, clock: Clock) {
    loop {
        clock.sleep(TIDY_EVERY).await;
        counters.tidy();
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

async fn forget_files(dir: PathBuf, clock: Clock) {
    loop {
        if let Err(error) = purge_files(&dir, clock.wall_ms()).await {
            tracing::warn!(dir = %dir.display(), %error, "Old files could not be removed; trying again in an hour");
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
