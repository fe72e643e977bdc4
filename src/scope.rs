//! Owned tasks: every task has a name, an owner and a policy for its crash.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a panic in a task means for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCrash {
    /// A core task: the daemon stops in order and exits non-zero.
    Stop,
    /// Only this task is lost; it is logged.
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
    use super::*;

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
}
