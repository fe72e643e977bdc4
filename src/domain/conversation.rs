//! What a session is tied to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ChannelId, TeamId, Ts};

/// Stands for team and channel of a conversation that is not one of Slack's. No id of Slack's is in lower case.
const WEB: &str = "web";

/// A conversation: one thread. The root is the message's `thread_ts`, or else its own `ts`, in DMs too.
///
/// Two kinds are something else: a whole channel as one conversation has an empty `thread`, and one on the web page has the page's own
/// id in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConversationKey {
    /// The workspace.
    pub team: TeamId,
    /// The channel or DM.
    pub channel: ChannelId,
    /// The time stamp of the thread's first message.
    pub thread: Ts,
}

/// Whether a channel stands for the web page.
pub fn is_web(channel: &ChannelId) -> bool {
    channel.as_str() == WEB
}

/// How the text of a message is written, which depends on where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// As Slack writes it.
    Slack,
    /// As agents and we ourselves write it: the web page shows that.
    Markdown,
}

impl ConversationKey {
    /// A whole channel as one conversation.
    pub fn channel_wide(team: TeamId, channel: ChannelId) -> Self {
        Self { team, channel, thread: Ts::from("") }
    }

    /// Whether it is a whole channel.
    pub fn is_channel_wide(&self) -> bool {
        self.thread.as_str().is_empty()
    }

    /// A conversation on the web page, under the page's own `id`, which is not empty.
    pub fn web(id: &str) -> Self {
        Self { team: WEB.into(), channel: WEB.into(), thread: id.into() }
    }

    /// Whether it is one on the web page: then nothing of it goes to Slack.
    pub fn is_web(&self) -> bool {
        self.team.as_str() == WEB && is_web(&self.channel)
    }

    /// How its messages are written.
    pub fn markup(&self) -> Markup {
        if self.is_web() { Markup::Markdown } else { Markup::Slack }
    }
}

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_web() {
            return write!(f, "{WEB}:{}", self.thread);
        }
        write!(f, "{}/{}/{}", self.team, self.channel, self.thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_conversation_knows_itself() {
        let thread = ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.2".into() };
        let cases = [
            (thread, "T1/C1/1.2", (false, false)),
            (ConversationKey::channel_wide("T1".into(), "C1".into()), "T1/C1/", (true, false)),
            (ConversationKey::web("a1b2"), "web:a1b2", (false, true)),
        ];
        for (key, shown, is) in cases {
            assert_eq!(key.to_string(), shown);
            assert_eq!((key.is_channel_wide(), key.is_web()), is, "{shown}");
        }
    }
}
