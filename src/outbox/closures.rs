//! Channels in which nothing can be said any more, until somebody has taken note.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, TeamId};

/// What was found and not told yet: each channel once, however often it is found.
#[derive(Default)]
pub(super) struct Closures {
    found: Mutex<BTreeSet<(TeamId, ChannelId)>>,
    more: Notify,
}

impl Closures {
    /// Slack has refused a message because of where it was to stand.
    pub(super) fn note(&self, conversation: &ConversationKey) {
        self.found().insert((conversation.team.clone(), conversation.channel.clone()));
        self.more.notify_one();
    }

    /// The next one, for one who waits. Cancel safe.
    pub(super) async fn next(&self) -> (TeamId, ChannelId) {
        loop {
            let first = self.found().pop_first();
            match first {
                Some(closed) => return closed,
                None => self.more.notified().await,
            }
        }
    }

    fn found(&self) -> MutexGuard<'_, BTreeSet<(TeamId, ChannelId)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
