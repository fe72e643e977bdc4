//! How long a row that fails is tried, and what of that outlasts a restart.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::store::Trouble;

/// How long a row's attempts may fail, one after the other.
pub(super) const FAILING: Duration = Duration::from_hours(24);
/// How much of that may have passed before this process, which tries it for a while in any case: wall clocks jump.
const FAILED_BEFORE: Duration = Duration::from_mins(24 * 60 - 10);

/// The longest pause that an earlier process may have left: as long as Slack may tell us to wait.
const LONGEST: Duration = Duration::from_hours(1);
/// A pause that is longer than this outlasts a restart.
const NOTED: Duration = Duration::from_secs(2);

/// How long a row has failed.
pub(super) struct Patience {
    /// When the first of the attempts failed that have failed since; a token that is refused does not count.
    failing_since: Option<Instant>,
    /// How long they had failed by then in earlier processes.
    failed_before: Duration,
}

impl Patience {
    /// What earlier processes have left of it.
    pub(super) fn after(trouble: &Trouble, clock: &Clock) -> Self {
        let failed = trouble.failing_since_ms.map(|since| between(since, clock.wall_ms()));
        Self {
            failing_since: failed.map(|_| clock.now()),
            failed_before: failed.unwrap_or_default().min(FAILED_BEFORE),
        }
    }

    /// An attempt failed. Returns whether it was the last.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failing_since.get_or_insert(now);
        self.failed_for(now) >= FAILING
    }

    /// What has failed so far does not count.
    pub(super) fn begin_again(&mut self) {
        *self = Self { failing_since: None, failed_before: Duration::ZERO };
    }

    /// What the next process is to know of a row that is tried again `then`; nothing where the pause is short.
    pub(super) fn trouble(&self, then: Instant, doubtful: bool, clock: &Clock) -> Option<Trouble> {
        let (now, wall_ms) = (clock.now(), clock.wall_ms());
        let pause = then.saturating_duration_since(now);
        (pause > NOTED).then(|| Trouble {
            not_before_ms: Some(wall_ms.saturating_add(millis(pause))),
            failing_since_ms: self.failing_since.map(|_| wall_ms.saturating_sub(millis(self.failed_for(now)))),
            doubtful,
        })
    }

    fn failed_for(&self, now: Instant) -> Duration {
        let here = self.failing_since.map(|since| now.saturating_duration_since(since));
        self.failed_before + here.unwrap_or_default()
    }
}

/// Until when an earlier process wants a row to wait, if it does.
pub(super) fn not_before(trouble: &Trouble, clock: &Clock) -> Option<Instant> {
    trouble.not_before_ms.map(|then| clock.now() + between(clock.wall_ms(), then).min(LONGEST))
}

/// How long it is from one wall time to a later one, in milliseconds since the Unix epoch; nothing when it is not later.
fn between(earlier_ms: i64, later_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(later_ms.saturating_sub(earlier_ms)).unwrap_or(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_leaves_the_next_one_takes_up() {
        let (clock, hand) = Clock::manual(1_000_000);
        let mut patience = Patience::after(&Trouble::default(), &clock);
        assert!(!patience.failed(clock.now()));
        assert_eq!(patience.trouble(clock.now() + NOTED, false, &clock), None, "a short pause is not worth a note");
        hand.advance(Duration::from_secs(5));
        let left = patience.trouble(clock.now() + Duration::from_secs(30), true, &clock);
        let trouble = Trouble { not_before_ms: Some(1_035_000), failing_since_ms: Some(1_000_000), doubtful: true };
        assert_eq!(left, Some(trouble));
        let (clock, _hand) = Clock::manual(1_015_000);
        assert_eq!(not_before(&trouble, &clock), Some(clock.now() + Duration::from_secs(20)));
        let patience = Patience::after(&trouble, &clock);
        assert_eq!(patience.failed_for(clock.now()), Duration::from_secs(15));
    }

    #[test]
    fn a_wall_clock_that_jumped_neither_ends_nor_prolongs_anything_by_much() {
        let (clock, _hand) = Clock::manual(0);
        let now = clock.now();
        let trouble = |then: i64, since: i64| Trouble {
            not_before_ms: Some(then),
            failing_since_ms: Some(since),
            doubtful: false,
        };
        for (then, since, wait, over_after) in
            [(i64::MAX, i64::MIN, LONGEST, Duration::from_mins(10)), (i64::MIN, i64::MAX, Duration::ZERO, FAILING)]
        {
            let trouble = trouble(then, since);
            assert_eq!(not_before(&trouble, &clock), Some(now + wait));
            let mut patience = Patience::after(&trouble, &clock);
            assert!(!patience.failed(now + over_after.saturating_sub(NOTED)) && patience.failed(now + over_after));
        }
    }
}
