//! Owned tasks: every task has a name, an owner and a policy for its crash.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::clock::Clock;

/// The pauses before a service that crashed is begun again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// With so many crashes of one service within [`WINDOW`] it counts as a core task that crashed.
const TOO_MANY: usize = 5;
/// See [`TOO_MANY`].
const WINDOW: Duration = Duration::from_mins(10);

/// What a panic in a task means for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCrash {
    /// A core task: the daemon stops in order and exits non-zero.
    Stop,
    /// Only this task is lost; it is logged. For what comes to an end by itself: what is to go on is [kept](Scope::keep).
    Log,
}

/// The tasks of one daemon and the two tokens that end them; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    tracker: TaskTracker,
    finish: CancellationToken,
    stop: CancellationToken,
    crashed: Arc<OnceLock<&'static str>>,
}

impl Scope {
    /// A scope with no tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when nothing new may be taken on and what runs should come to its end.
    pub fn finish(&self) -> &CancellationToken {
        &self.finish
    }

    /// Cancelled when everything must stop now.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The core task that crashed first, if one has.
    pub fn crashed(&self) -> Option<&'static str> {
        self.crashed.get().copied()
    }

    /// Runs `task` on the current runtime until it ends, whatever happens to the returned handle.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, on_crash: OnCrash, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let scope = self.clone();
        tokio::spawn(self.tracker.track_future(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                scope.record_crash(name, on_crash, panic.as_ref());
            }
        }))
    }

    /// Runs a service until it ends, or `until` is cancelled. When it crashes it is begun again after a pause that grows; the fifth crash
    /// within ten minutes is one of a core task.
    pub fn keep<F>(
        &self,
        name: &'static str,
        clock: &Clock,
        until: &CancellationToken,
        mut service: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (scope, clock) = (self.clone(), clock.clone());
        let kept = async move {
            let mut crashes = Crashes::new();
            while let Err(panic) = AssertUnwindSafe(async { service().await }).catch_unwind().await {
                let Some(pause) = crashes.pause_after(clock.now()) else { resume_unwind(panic) };
                scope.record_crash(name, OnCrash::Log, panic.as_ref());
                tracing::warn!(task = name, pause_ms = pause.as_millis(), "What crashed is begun again after a pause");
                clock.sleep(pause).await;
            }
        };
        self.spawn(name, OnCrash::Stop, until.clone().run_until_cancelled_owned(kept).map(drop))
    }

    /// Does something to its end, also when whoever asked for it goes away meanwhile. Nothing when it crashes.
    pub async fn to_its_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.spawn(name, OnCrash::Log, async move {
            let _nobody_waits = done.send(work.await);
        });
        result.await.ok()
    }

    /// Waits until every task has ended. New tasks may still be spawned meanwhile and are waited for too.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many tasks run now.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    fn record_crash(&self, name: &'static str, on_crash: OnCrash, panic: &(dyn Any + Send)) {
        tracing::error!(task = name, ?on_crash, reason = panic_text(panic), "A task crashed");
        metrics::counter!("hitchline_task_crashes_total", "task" => name).increment(1);
        if on_crash == OnCrash::Stop {
            // Only the first crash is the cause; the ones that follow are its consequences.
            self.crashed.get_or_init(|| name);
            self.finish.cancel();
        }
    }
}

/// The crashes of one service.
struct Crashes {
    /// When it crashed, as far as that still counts.
    lately: Vec<Instant>,
    backoff: Backoff,
}

impl Crashes {
    fn new() -> Self {
        Self { lately: Vec::new(), backoff: Backoff::new(PAUSES.0, PAUSES.1) }
    }

    /// The pause after a further crash; nothing when that is one too many.
    fn pause_after(&mut self, now: Instant) -> Option<Duration> {
        self.lately.retain(|crash| now.saturating_duration_since(*crash) < WINDOW);
        if self.lately.is_empty() {
            self.backoff.reset();
        }
        self.lately.push(now);
        (self.lately.len() < TOO_MANY).then(|| self.backoff.next(&mut fastrand::Rng::new()))
    }
}

/// What a panic said, where it said something.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Hand;

    /// It is not begun again: what it was in the middle of is shared with others, and only a process that starts whole has no half state.
    #[tokio::test]
    async fn f_66_a_crash_in_a_core_task_asks_everything_to_finish() {
        let scope = Scope::new();
        scope.spawn("core", OnCrash::Stop, async { panic!("boom") });
        scope.finish().cancelled().await;
        assert_eq!(scope.crashed(), Some("core"));
    }

    #[tokio::test]
    async fn a_contained_crash_leaves_the_rest_running() {
        let scope = Scope::new();
        scope.spawn("one", OnCrash::Log, async { panic!("boom") });
        scope.wait().await;
        assert!(!scope.finish().is_cancelled());
        assert_eq!((scope.crashed(), scope.running()), (None, 0));
    }

    /// A service that runs for so long and then crashes, each beginning of which is told.
    fn crashing_after(time: Duration, scope: &Scope) -> (Hand, mpsc::Receiver<()>) {
        let (clock, hand) = Clock::manual(0);
        let (begun, beginnings) = mpsc::channel(32);
        let runs = clock.clone();
        scope.keep("service", &clock, scope.stop(), move || {
            begun.try_send(()).unwrap();
            let runs = runs.clone();
            async move {
                runs.sleep(time).await;
                panic!("boom");
            }
        });
        (hand, beginnings)
    }

    /// Turns the clock until `reached`.
    async fn turn_until(hand: &Hand, reached: impl Future) {
        tokio::pin!(reached);
        while futures_util::poll!(reached.as_mut()).is_pending() {
            hand.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn f_66_a_service_that_crashes_is_begun_again_and_the_fifth_time_ends_the_daemon() {
        let scope = Scope::new();
        let (hand, mut beginnings) = crashing_after(Duration::from_secs(1), &scope);
        for _ in 0..5 {
            assert_eq!(scope.crashed(), None);
            turn_until(&hand, beginnings.recv()).await;
        }
        turn_until(&hand, scope.finish().cancelled()).await;
        scope.wait().await;
        assert_eq!((scope.crashed(), beginnings.try_recv().is_ok()), (Some("service"), false));
    }

    #[tokio::test]
    async fn f_66_a_service_that_crashes_now_and_then_is_always_begun_again() {
        let scope = Scope::new();
        let (hand, mut beginnings) = crashing_after(Duration::from_mins(3), &scope);
        for _ in 0..20 {
            turn_until(&hand, beginnings.recv()).await;
        }
        assert_eq!(scope.crashed(), None);
        scope.stop().cancel();
        scope.wait().await;
        assert_eq!(scope.running(), 0);
    }

    #[test]
    fn f_66_the_pauses_grow_until_all_was_well_for_a_while() {
        let (clock, _hand) = Clock::manual(0);
        let (now, mut crashes) = (clock.now(), Crashes::new());
        let pauses: Vec<Duration> = (0..4).map(|_| crashes.pause_after(now).unwrap()).collect();
        assert!(pauses.is_sorted() && pauses[3] >= Duration::from_secs(4), "{pauses:?}");
        assert_eq!(crashes.pause_after(now), None, "the fifth");
        assert!(crashes.pause_after(now + WINDOW).is_some_and(|pause| pause <= PAUSES.0));
    }
}
