//! In which conversations people have been told that an answer can't be delivered.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::conversation::ConversationKey;

/// How long nobody is told again of the same conversation.
const DAY: Duration = Duration::from_hours(24);

/// What was told since the start; forgotten after a day.
#[derive(Default)]
pub(super) struct Notices(Mutex<HashMap<ConversationKey, Instant>>);

impl Notices {
    /// Whether somebody should be told of `conversation`.
    pub(super) fn is_due(&self, conversation: &ConversationKey, now: Instant) -> bool {
        let mut told = self.told_lately();
        told.retain(|_, at| now.saturating_duration_since(*at) < DAY);
        !told.contains_key(conversation)
    }

    /// Somebody is told of it.
    pub(super) fn told(&self, conversation: &ConversationKey, now: Instant) {
        self.told_lately().insert(conversation.clone(), now);
    }

    fn told_lately(&self) -> MutexGuard<'_, HashMap<ConversationKey, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_conversation_is_told_of_once_a_day() {
        let (clock, _hand) = Clock::manual(0);
        let (notices, now) = (Notices::default(), clock.now());
        let key = |channel: &str| ConversationKey::channel_wide("T1".into(), channel.into());
        assert!(notices.is_due(&key("C1"), now));
        notices.told(&key("C1"), now);
        assert!(!notices.is_due(&key("C1"), now + DAY / 2) && notices.is_due(&key("C2"), now));
        assert!(notices.is_due(&key("C1"), now + DAY));
        assert!(notices.told_lately().is_empty());
    }
}
