//! How often Slack is asked while something is read back.

use std::time::{Duration, Instant};

use crate::clock::Clock;

/// The time between two calls, on average: 40 in a minute, where Slack allows 50 (tier 3,
/// docs.slack.dev/apis/web-api/rate-limits) for this and everything else that reads.
const EVERY: Duration = Duration::from_millis(1_500);
/// How many may follow each other at once after a pause.
const BURST: u32 = 20;

/// The budget of all readings of one process.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Clock,
    next: Instant,
}

impl Budget {
    /// The whole burst.
    pub(super) fn new(clock: Clock) -> Self {
        let now = clock.now();
        Self { clock, next: now.checked_sub(EVERY * (BURST - 1)).unwrap_or(now) }
    }

    /// Waits until a call may be made. Cancel safe.
    pub(super) async fn take(&mut self) {
        let at = self.take_at(self.clock.now());
        self.clock.sleep_until(at).await;
    }

    /// When a call may be made.
    fn take_at(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(EVERY * (BURST - 1)).unwrap_or(now);
        let at = self.next.max(earliest);
        self.next = at + EVERY;
        at.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_there_are_forty_calls_in_a_minute() {
        let (clock, hand) = Clock::manual(0);
        let mut budget = Budget::new(clock.clone());
        let mut calls = |count: u32| -> Vec<u128> {
            let now = clock.now();
            (0..count).map(|_| (budget.take_at(now) - now).as_millis()).collect()
        };
        let at_once = calls(22);
        assert_eq!(at_once[..20], [0; 20]);
        assert_eq!(at_once[20..], [1_500, 3_000]);
        hand.advance(Duration::from_hours(1));
        assert_eq!(calls(60).last(), Some(&60_000), "40 in a minute once the burst is used up");
    }
}
