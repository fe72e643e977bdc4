//! Slack's own time, as its answers tell it. The machine's clock may be wrong, and may jump.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock::Clock;

/// Keeps what the last answer said.
#[derive(Debug)]
pub(super) struct SlackTime {
    clock: Clock,
    told: Mutex<Option<(Instant, i64)>>,
}

impl SlackTime {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::default() }
    }

    /// Takes the `Date` of an answer that has just come. It is cut to whole seconds and was true a moment ago: early, never late.
    pub(super) fn told(&self, date: &str) {
        let Ok(date) = DateTimeParser::new().parse_timestamp(date) else { return };
        *self.lock() = Some((self.clock.now(), date.as_microsecond()));
    }

    /// Now, in microseconds since the Unix epoch; by the machine's clock as long as no answer has said it. A machine that slept does not
    /// count that time until the next answer.
    pub(super) fn now_us(&self) -> i64 {
        let told = *self.lock();
        told.map_or_else(
            || self.clock.wall_ms().saturating_mul(1_000),
            |(at, us)| {
                let since = self.clock.now().saturating_duration_since(at).as_micros();
                us.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
            },
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, i64)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_tell_the_time_whatever_the_machine_thinks() {
        let (clock, hand) = Clock::manual(5_000);
        let time = SlackTime::new(clock);
        assert_eq!(time.now_us(), 5_000_000, "nobody has said anything else");
        time.told("Fri, 15 Jan 2027 08:00:00 GMT");
        assert_eq!(time.now_us(), 1_800_000_000_000_000);
        hand.advance(Duration::from_millis(1_500));
        time.told("not a date");
        assert_eq!(time.now_us(), 1_800_000_001_500_000, "it goes on by itself");
        hand.suspend(Duration::from_hours(1));
        assert_eq!(time.now_us(), 1_800_000_001_500_000, "early, never late");
        time.told("Fri, 15 Jan 2027 09:00:02 GMT");
        assert_eq!(time.now_us(), 1_800_003_602_000_000);
    }
}
