//! What people do: a message, a click, a slash command, as the store keeps it.
//!
//! This is the versioned form that survives upgrades; Slack's own JSON stays in the `slack` room. Fields are only ever added, with a
//! default.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::conversation::ConversationKey;
use super::ids::{ApprovalId, BotId, ChannelId, TeamId, Ts, UserId};

/// Something that a person did, and under which keys it counts as the same thing when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// Keys of which each makes a later delivery a duplicate: the event's id, the message, the person's gesture.
    pub keys: Vec<String>,
    /// The workspace that saw it.
    pub team: TeamId,
    /// Where it happened.
    pub channel: ChannelId,
    /// What kind of place that is, as far as the event says.
    pub channel_kind: ChannelKind,
    /// Who did it.
    pub author: Author,
    /// What it was.
    pub what: What,
}

/// The kinds of place. An `app_mention` does not say which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// The event did not say.
    #[default]
    Unknown,
    /// A public or private channel.
    Channel,
    /// A conversation with one person.
    Direct,
    /// A conversation with several people.
    Group,
}

/// Who did something. Identity is ids alone, never a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user's id; of a bot that has no user, its own.
    pub user: UserId,
    /// The user's own workspace where the event names it; it differs from ours in shared channels.
    #[serde(default)]
    pub team: Option<TeamId>,
    /// Set when a bot did it.
    #[serde(default)]
    pub bot: Option<BotId>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A message was written.
    Message(Message),
    /// A button of ours was pressed.
    Click(Click),
    /// A slash command was given.
    Slash(Slash),
    /// Slack's own Stop was pressed while we worked in this thread.
    Stop {
        /// The thread.
        thread: Ts,
    },
}

/// A message, with our own mention taken out and Slack's markup resolved to plain text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its time stamp.
    pub ts: Ts,
    /// The thread's root, when it stands in a thread.
    #[serde(default)]
    pub thread: Option<Ts>,
    /// What it says.
    pub text: String,
    /// Whether it mentions us.
    #[serde(default)]
    pub mention: bool,
    /// How many files hang on it.
    #[serde(default)]
    pub files: usize,
}

/// A press of one of our buttons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// The message that holds the button.
    pub message: Ts,
    /// The thread in which that message stands.
    #[serde(default)]
    pub thread: Option<Ts>,
    /// Which button.
    pub button: Button,
    /// Where an answer for this person alone goes.
    #[serde(default)]
    pub reply: Option<ReplyUrl>,
}

/// A slash command, such as `/hitch status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slash {
    /// Everything after the command's name.
    pub text: String,
    /// Where the answer goes.
    pub reply: ReplyUrl,
}

/// An address for up to five answers within half an hour. It is a bearer secret: it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyUrl(pub String);

impl fmt::Debug for ReplyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyUrl(…)")
    }
}

/// The buttons that we show. Their values are no secret and can be sent again: what a press may do is decided when it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Button {
    /// One option of an approval.
    Approval {
        /// Which approval.
        id: ApprovalId,
        /// The option's place in the approval's list, from 0.
        option: usize,
    },
}

impl Inbound {
    /// Whose line it waits in: its conversation's, or its channel's own, where a slash command was given.
    pub fn queue(&self) -> ConversationKey {
        let top_level =
            || ConversationKey { team: self.team.clone(), channel: self.channel.clone(), thread: Ts::from("") };
        self.conversation().unwrap_or_else(top_level)
    }

    /// The conversation it belongs to; a slash command stands in none.
    pub fn conversation(&self) -> Option<ConversationKey> {
        let thread = match &self.what {
            What::Message(message) => message.thread.as_ref().unwrap_or(&message.ts),
            What::Click(click) => click.thread.as_ref().unwrap_or(&click.message),
            What::Stop { thread } => thread,
            What::Slash(_) => return None,
        };
        Some(ConversationKey { team: self.team.clone(), channel: self.channel.clone(), thread: thread.clone() })
    }
}
