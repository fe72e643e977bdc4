//! Agents that die again and again are started again, but not in a storm.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::conversation::ConversationKey;

/// How many crashes of one conversation's agent within [`WINDOW`] are answered with a start at once.
const MOST: usize = 3;
/// For how long a crash counts.
const WINDOW: Duration = Duration::from_mins(1);

/// The crashes of the last minute, by conversation.
#[derive(Debug, Default)]
pub(super) struct Crashes(Mutex<HashMap<ConversationKey, VecDeque<Instant>>>);

impl Crashes {
    /// A conversation's agent has died, or did not even start.
    pub(super) fn note(&self, key: &ConversationKey, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, crashes| {
            crashes.retain(|crash| now < *crash + WINDOW);
            !crashes.is_empty()
        });
        let crashes = all.entry(key.clone()).or_default();
        crashes.push_back(now);
        if crashes.len() > MOST {
            crashes.pop_front();
        }
    }

    /// Until when its next start has to wait, if it has.
    pub(super) fn hold_until(&self, key: &ConversationKey, now: Instant) -> Option<Instant> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all.get(key).filter(|crashes| crashes.len() == MOST)?.front()?;
        Some(*first + WINDOW).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_fourth_start_within_a_minute_waits_for_its_end() {
        let (clock, _hand) = Clock::manual(0);
        let (begun, crashes) = (clock.now(), Crashes::default());
        let key = |thread: &str| ConversationKey { team: "T".into(), channel: "C".into(), thread: thread.into() };
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (seconds, hold) in [(0, None), (10, None), (20, Some(60)), (61, Some(70)), (200, None)] {
            crashes.note(&key("1"), at(seconds));
            assert_eq!(crashes.hold_until(&key("1"), at(seconds)), hold.map(at), "after {seconds} s");
            assert_eq!(crashes.hold_until(&key("2"), at(seconds)), None);
            assert_eq!(crashes.hold_until(&key("1"), at(seconds + 60)), None, "a minute later nothing is held");
        }
    }
}
