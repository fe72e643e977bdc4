//! How many connections of ours Slack may count, and whether it counts more than those.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// For so long Slack may go on counting a connection that has ended: about two minutes have been seen for one that was cut.
const MISSED_AFTER: Duration = Duration::from_mins(3);

/// The connections of all links of this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// From the dialling on: Slack may count a connection before we know that it has come about.
    held: usize,
    /// When connections that had come about ended, the oldest first.
    ended: Vec<Instant>,
    /// How many of somebody else's were there at the last greeting.
    others: usize,
}

/// What a greeting tells of somebody else's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Nothing new.
    AsBefore,
    /// There are some, so many more than the given number of ours.
    Appeared { ours: usize },
    /// There are none any more.
    Gone,
}

/// Counts one connection as ours for as long as it is held, and when it had come about, a while longer.
#[derive(Debug)]
pub(super) struct Counted {
    tally: Tally,
    clock: Clock,
    opened: bool,
}

impl Tally {
    /// How many connections are open or being opened.
    pub fn held(&self) -> usize {
        self.counts().held
    }

    /// Counts a connection that is about to be dialled.
    pub(super) fn count(&self, clock: &Clock) -> Counted {
        self.counts().held += 1;
        Counted { tally: self.clone(), clock: clock.clone(), opened: false }
    }

    /// Compares what Slack counts with what may be ours.
    pub(super) fn greeted(&self, connections: u32, now: Instant) -> Others {
        let mut counts = self.counts();
        counts.ended.retain(|at| *at + MISSED_AFTER > now);
        let ours = counts.held + counts.ended.len();
        let others = usize::try_from(connections).unwrap_or(usize::MAX).saturating_sub(ours);
        match (std::mem::replace(&mut counts.others, others), others) {
            (0, 0) => Others::AsBefore,
            (0, _) => Others::Appeared { ours },
            (_, 0) => Others::Gone,
            _ => Others::AsBefore,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// The connection has come about.
    pub(super) fn opened(&mut self) {
        self.opened = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut counts = self.tally.counts();
        counts.held -= 1;
        counts.ended.retain(|at| *at + MISSED_AFTER > now);
        if self.opened {
            counts.ended.push(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(tally: &Tally, clock: &Clock) -> Counted {
        let mut counted = tally.count(clock);
        counted.opened();
        counted
    }

    // holds: T-4
    #[test]
    fn what_is_being_opened_or_was_just_lost_is_ours() {
        let (clock, hand) = Clock::manual(0);
        let tally = Tally::default();
        let first = open(&tally, &clock);
        let second = tally.count(&clock);
        assert_eq!(tally.greeted(2, clock.now()), Others::AsBefore, "one is still being opened");
        drop(first);
        assert_eq!(tally.greeted(2, clock.now()), Others::AsBefore, "Slack has not missed the other one yet");
        drop(second);
        assert_eq!(tally.held(), 0);
        assert_eq!(tally.greeted(2, clock.now()), Others::Appeared { ours: 1 }, "an attempt that failed is nobody's");
        hand.advance(MISSED_AFTER);
        drop(tally.count(&clock));
        assert!(tally.counts().ended.is_empty(), "nothing is kept for ever");
    }

    #[test]
    fn somebody_elses_are_reported_once_and_again_when_they_come_back() {
        let (clock, _hand) = Clock::manual(0);
        let tally = Tally::default();
        let _ours = open(&tally, &clock);
        let told = [1, 3, 2, 1, 1, 2].map(|connections| tally.greeted(connections, clock.now()));
        let (appeared, same) = (Others::Appeared { ours: 1 }, Others::AsBefore);
        assert_eq!(told, [same, appeared, same, Others::Gone, same, appeared]);
    }
}
