//! What people do: a message, a click, a slash command, as the store keeps it.
//!
//! This is the versioned form that survives upgrades; Slack's own JSON stays in the `slack` room. Fields are only ever added, with a
//! default.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::conversation::{ConversationKey, Markup};
use super::ids::{ApprovalId, BotId, ChannelId, OfferId, SessionId, TeamId, Ts, TurnId, UserId};

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
    /// The web page. Nothing that comes from Slack is of this kind.
    Web,
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
    /// A person changed the text of a message of theirs. This is its new form.
    Edited(Message),
    /// A person's message was deleted, by them or by somebody who may.
    Deleted {
        /// The message.
        ts: Ts,
        /// The thread's root, when it stood in a thread.
        #[serde(default)]
        thread: Option<Ts>,
    },
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
    /// The files that hang on it.
    #[serde(default, deserialize_with = "files")]
    pub files: Vec<File>,
}

/// A file that hangs on a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Slack's id of it (`F…`).
    pub id: String,
    /// What it is called: a stranger's words, no path.
    pub name: String,
    /// Its type, as Slack guessed it.
    #[serde(default)]
    pub mime: Option<String>,
    /// How many bytes it has, where that is known.
    #[serde(default)]
    pub size: Option<u64>,
    /// Where it is to be had.
    pub at: FileAt,
}

/// Where a file is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAt {
    /// There, for whoever bears the token, if it is an address of Slack at all.
    Address(String),
    /// Slack has to be asked for the rest (`files.info`), as with files of other workspaces.
    Ask,
    /// Nowhere any more: it was deleted, or the workspace's plan hides it.
    Gone,
    /// Not in Slack: only a link hangs on the message.
    Elsewhere,
    /// Only that there is one was noted, by an earlier version.
    Unknown,
}

/// The files of a message. The first releases noted only how many there are.
fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Noted {
        All(Vec<File>),
        Count(usize),
    }
    let unknown = || File { id: String::new(), name: "file".into(), mime: None, size: None, at: FileAt::Unknown };
    Ok(match Noted::deserialize(deserializer)? {
        Noted::All(files) => files,
        Noted::Count(count) => std::iter::repeat_with(unknown).take(count).collect(),
    })
}

/// A press of one of our buttons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// The message that holds the button.
    pub message: Ts,
    /// Whether that message is shown to this person alone. Then it is the root of no thread, and can't be changed.
    #[serde(default)]
    pub ephemeral: bool,
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

/// What the way back to a conversation on the web page begins with. Slack's addresses begin with `https:`.
const WEB_REPLY: &str = "web:";

/// An address for up to five answers within half an hour. It is a bearer secret: it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyUrl(pub String);

impl ReplyUrl {
    /// The way back to the person in a conversation on the web page, which has no address.
    pub fn web(thread: &Ts) -> Self {
        Self(format!("{WEB_REPLY}{thread}"))
    }

    /// The thread of the conversation on the web page, when it leads back there.
    pub fn web_thread(&self) -> Option<Ts> {
        self.0.strip_prefix(WEB_REPLY).map(Ts::from)
    }

    /// How an answer that goes there is written.
    pub fn markup(&self) -> Markup {
        if self.web_thread().is_some() { Markup::Markdown } else { Markup::Slack }
    }
}

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
    /// Bring one of our sessions into the conversation in which its list was asked for.
    Connect {
        /// Which session.
        session: SessionId,
        /// The thread in which the list was asked for: a press on a message for one person alone may not say it.
        #[serde(default)]
        thread: Option<Ts>,
    },
    /// The same for a session that only its backend knows.
    Adopt {
        /// The backend's configured name.
        backend: String,
        /// What the backend calls the session.
        backend_ref: String,
        /// The thread in which the list was asked for.
        #[serde(default)]
        thread: Option<Ts>,
    },
    /// Stop a turn.
    Stop {
        /// Which turn.
        turn: TurnId,
    },
    /// Choose a value of one of the agent's own options, such as its model.
    Option {
        /// Whose option.
        session: SessionId,
        /// The agent's id for the option.
        option: String,
        /// The agent's id for the value.
        value: String,
    },
    /// Decide what is to become of a turn that was cut off.
    Interrupted {
        /// Which turn.
        turn: TurnId,
        /// What.
        choice: Choice,
    },
    /// Answer what was said while nobody listened, or leave it.
    Offer {
        /// The note that offers it.
        offer: OfferId,
        /// Whether to answer.
        accept: bool,
    },
}

/// What is to become of a turn that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Its session is brought back and told to go on.
    Resume,
    /// Its prompt is sent again.
    Retry,
    /// Nothing.
    Drop,
}

impl Button {
    /// Whether a press waits like a command, rather than acts on what runs or is put into a line by what it finds.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::Interrupted { .. } | Self::Offer { .. })
    }

    /// The thread that the button itself names.
    pub fn thread(&self) -> Option<&Ts> {
        match self {
            Self::Connect { thread, .. } | Self::Adopt { thread, .. } => thread.as_ref(),
            Self::Approval { .. }
            | Self::Stop { .. }
            | Self::Option { .. }
            | Self::Interrupted { .. }
            | Self::Offer { .. } => None,
        }
    }
}

impl Click {
    /// The root of the thread to which it belongs: the one that Slack says, or the button's own, or else the message itself. A press on
    /// a message for one person alone may belong to none.
    fn root(&self) -> Option<&Ts> {
        let named = self.thread.as_ref().or_else(|| self.button.thread());
        named.or_else(|| (!self.ephemeral).then_some(&self.message))
    }
}

impl Message {
    /// The root of the thread to which it belongs: itself, when it stands in none.
    fn root(&self) -> &Ts {
        self.thread.as_ref().unwrap_or(&self.ts)
    }
}

impl Inbound {
    /// Whose line it waits in: its conversation's, or its channel's own, where it stands in no thread.
    pub fn queue(&self) -> ConversationKey {
        let top_level = || ConversationKey::channel_wide(self.team.clone(), self.channel.clone());
        self.conversation().unwrap_or_else(top_level)
    }

    /// Where it is answered when it waits in the line of `key`: there, or in its own thread where that is a whole channel.
    pub fn answered_at(&self, key: &ConversationKey) -> ConversationKey {
        let thread = key.is_channel_wide().then(|| self.conversation()).flatten();
        thread.unwrap_or_else(|| key.clone())
    }

    /// The message that it is, if it is one.
    pub fn message(&self) -> Option<&Ts> {
        match &self.what {
            What::Message(message) => Some(&message.ts),
            _ => None,
        }
    }

    /// The conversation it belongs to. A slash command stands in none, nor does a press on its answer.
    pub fn conversation(&self) -> Option<ConversationKey> {
        let thread = match &self.what {
            What::Message(message) | What::Edited(message) => message.root(),
            What::Deleted { ts, thread } => thread.as_ref().unwrap_or(ts),
            What::Click(click) => click.root()?,
            What::Stop { thread } => thread,
            What::Slash(_) => return None,
        };
        Some(ConversationKey { team: self.team.clone(), channel: self.channel.clone(), thread: thread.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(message: &str, ephemeral: bool, thread: Option<&str>, of_button: Option<&str>) -> Inbound {
        let button = Button::Connect { session: SessionId::new(), thread: of_button.map(Ts::from) };
        Inbound {
            keys: Vec::new(),
            team: "T1".into(),
            channel: "C1".into(),
            channel_kind: ChannelKind::Channel,
            author: Author { user: "U1".into(), team: None, bot: None },
            what: What::Click(Click {
                message: message.into(),
                ephemeral,
                thread: thread.map(Ts::from),
                button,
                reply: None,
            }),
        }
    }

    #[test]
    fn a_press_belongs_to_the_thread_that_is_known_best() {
        let cases = [
            (click("5.0", false, Some("1.0"), Some("2.0")), Some("1.0")),
            (click("5.0", true, None, Some("2.0")), Some("2.0")),
            (click("5.0", false, None, None), Some("5.0")),
            (click("5.0", true, None, None), None),
        ];
        for (inbound, expected) in cases {
            let thread = inbound.conversation().map(|key| key.thread);
            assert_eq!(thread, expected.map(Ts::from), "{:?}", inbound.what);
            assert_eq!(inbound.queue().is_channel_wide(), expected.is_none());
        }
    }

    /// As the first release wrote them.
    #[test]
    fn what_an_older_release_stored_is_still_understood() {
        let id = "0b1e2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
        let rest = r#""team":"T1","channel":"C1","channel_kind":"direct","author":{"user":"U1"}"#;
        let message = format!(r#"{{"keys":["k"],{rest},"what":{{"message":{{"ts":"1.0","text":"hi"}}}}}}"#);
        let counted = message.replace(r#""text":"hi""#, r#""text":"hi","files":2"#);
        let approval = format!(r#"{{"approval":{{"id":"{id}","option":1}}}}"#);
        let press = format!(r#"{{"keys":[],{rest},"what":{{"click":{{"message":"1.0","button":{approval}}}}}}}"#);
        let read = |text: &str| serde_json::from_str::<Inbound>(text).unwrap().what;
        assert!(matches!(read(&message), What::Message(message) if message.text == "hi" && !message.mention));
        let What::Message(counted) = read(&counted) else { panic!("not a message") };
        assert_eq!(counted.files.iter().map(|file| &file.at).collect::<Vec<_>>(), [&FileAt::Unknown; 2]);
        let What::Click(click) = read(&press) else { panic!("not a press") };
        assert_eq!(click.button, Button::Approval { id: ApprovalId::parse(id).unwrap(), option: 1 });
        assert!(!click.ephemeral);
    }
}
