//! Bounded, jittered delays between attempts.
//!
//! The one place that knows how long to wait before trying again; nothing else in the crate invents its own retry.

use std::time::Duration;

/// A growing delay: each attempt doubles the ceiling, from `min` up to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays between half of `min` and `max`. A `max` below `min` counts as `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), attempt: 0 }
    }

    /// The delay before the next attempt: evenly spread over the upper half of the ceiling, so that many clients that failed
    /// together don't come back together, and none comes back at once.
    pub fn next(&mut self, chance: &mut fastrand::Rng) -> Duration {
        let ceiling = self.min.saturating_mul(1 << self.attempt.min(20)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        ceiling.mul_f64(0.5 + chance.f64() / 2.0)
    }

    /// How many delays were handed out since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts over: the thing has worked for a while.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_is_within_its_bounds(min in 1u64..5_000, max in 1u64..120_000, seed: u64, attempts in 1usize..64) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max);
            let mut chance = fastrand::Rng::with_seed(seed);
            for _ in 0..attempts {
                let delay = backoff.next(&mut chance);
                prop_assert!(delay >= min / 2 && delay <= max.max(min));
            }
        }
    }

    #[test]
    fn delays_grow_until_they_are_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let mut chance = fastrand::Rng::with_seed(1);
        let first = backoff.next(&mut chance);
        let tenth = (0..9).map(|_| backoff.next(&mut chance)).last().unwrap();
        assert!(first <= Duration::from_secs(1) && tenth >= Duration::from_secs(30));
        backoff.reset();
        assert!(backoff.next(&mut chance) <= Duration::from_secs(1));
    }
}
