//! What a session is tied to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ChannelId, TeamId, Ts};

/// A conversation: one thread. The root is the message's `thread_ts`, or else its own `ts`, in DMs too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConversationKey {
    /// The workspace.
    pub team: TeamId,
    /// The channel or DM.
    pub channel: ChannelId,
    /// The time stamp of the thread's first message.
    pub thread: Ts,
}

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.team, self.channel, self.thread)
    }
}
