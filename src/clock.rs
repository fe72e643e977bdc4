//! Time, passed in.
//!
//! Everything that waits or stamps asks a [`Clock`]; the shipped binary only ever makes [`Clock::system`]. Stories that need another
//! time run the daemon in process on [`Clock::manual`], whose hand the test turns. It is independent of tokio's paused clock, which
//! must not be mixed with real sockets (auto-advance fires their time-outs).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A source of time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    start_ms: i64,
    passed: watch::Receiver<Duration>,
    /// By how much somebody has set the wall clock, in milliseconds.
    set_by: Arc<AtomicI64>,
}

/// The hand of a manual clock; only whoever made the clock can turn it.
#[derive(Debug)]
pub struct Hand(watch::Sender<Duration>, Arc<AtomicI64>);

impl Hand {
    /// Moves the clock forward and wakes whoever waited for the time that has now come.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|passed| *passed += by);
    }

    /// Sets the wall clock forward or back, which wakes nobody.
    pub fn set_wall_clock(&self, by_ms: i64) {
        self.1.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// A wait took longer than it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until its [`Hand`] is turned; its wall time starts at `start_ms`.
    pub fn manual(start_ms: i64) -> (Self, Hand) {
        let (hand, passed) = watch::channel(Duration::ZERO);
        let set_by = Arc::new(AtomicI64::new(0));
        let manual = Manual { start: monotonic(), start_ms, passed, set_by: set_by.clone() };
        (Self(Source::Manual(Arc::new(manual))), Hand(hand, set_by))
    }

    /// Monotonic time, for deadlines and durations.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => monotonic(),
            Source::Manual(manual) => manual.start + *manual.passed.borrow(),
        }
    }

    /// Wall time in milliseconds since the Unix epoch, for what is stored and shown.
    pub fn wall_ms(&self) -> i64 {
        match &self.0 {
            Source::System => wall(),
            Source::Manual(manual) => {
                manual.start_ms + manual.set_by.load(Ordering::Relaxed) + millis(*manual.passed.borrow())
            }
        }
    }

    /// Waits until `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Instant) {
        match &self.0 {
            Source::System => tokio::time::sleep_until(deadline.into()).await,
            Source::Manual(manual) => {
                let mut passed = manual.passed.clone();
                let due = |by: &Duration| manual.start + *by >= deadline;
                if passed.wait_for(due).await.is_err() {
                    // The hand is gone: that time will never come.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Waits for `duration`, counted from this call and not from the first poll.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        let clock = self.clone();
        let deadline = self.now() + duration;
        async move { clock.sleep_until(deadline).await }
    }

    /// Runs `future` until `deadline` at the latest.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline comes first; the future is dropped then.
    pub async fn timeout_at<F: Future>(&self, deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep_until(deadline) => Err(Elapsed),
        }
    }

    /// Runs `future` for at most `duration`.
    ///
    /// # Errors
    /// [`Elapsed`] when the time is over first; the future is dropped then.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        self.timeout_at(self.now() + duration, future).await
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual(1_000);
        let start = clock.now();
        assert_eq!(clock.wall_ms(), 1_000);
        hand.advance(Duration::from_mins(1));
        assert_eq!(clock.now() - start, Duration::from_mins(1));
        assert_eq!(clock.wall_ms(), 61_000);
    }

    #[tokio::test]
    async fn a_sleeper_on_a_manual_clock_wakes_when_its_time_comes() {
        let (clock, hand) = Clock::manual(0);
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(10)));
        hand.advance(Duration::from_secs(9));
        assert!(futures_util::FutureExt::now_or_never(sleep.as_mut()).is_none());
        hand.advance(Duration::from_secs(1));
        sleep.await;
    }

    #[tokio::test]
    async fn a_timeout_is_an_error_and_a_finished_future_is_not() {
        let (clock, _hand) = Clock::manual(0);
        assert_eq!(clock.timeout(Duration::ZERO, std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(clock.timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    }
}
