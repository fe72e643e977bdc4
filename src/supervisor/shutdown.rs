//! The order of stopping, and how much time each stage has. All instants are computed once.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::settings::shutdown::Config;

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
