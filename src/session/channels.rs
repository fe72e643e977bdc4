//! Whole channels that are one conversation each. Which they are is known in memory, for it is asked with each message.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::conversation::ConversationKey;

use super::manager::Inner;

/// The channels that are one conversation each.
#[derive(Default)]
pub(super) struct WholeChannels(Mutex<HashSet<ConversationKey>>);

impl WholeChannels {
    fn set(&self) -> MutexGuard<'_, HashSet<ConversationKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes whether a session answers in a conversation, in case that is a whole channel.
    pub(super) fn note_place(&self, key: &ConversationKey, answers: bool) {
        if key.is_channel_wide() && answers {
            self.wide.set().insert(key.clone());
        } else if key.is_channel_wide() {
            self.wide.set().remove(key);
        }
    }

    /// The channel as one conversation, where it is one.
    pub(super) fn whole_channel(&self, key: &ConversationKey) -> Option<ConversationKey> {
        let wide = self.wide.set();
        // Mostly there are none, and it is asked for each message.
        if wide.is_empty() {
            return None;
        }
        let whole = ConversationKey::channel_wide(key.team.clone(), key.channel.clone());
        wide.contains(&whole).then_some(whole)
    }
}
