//! What is owed to Slack, in our words; the `slack` room turns it into blocks and calls.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::agent::OptionKind;
use super::conversation::ConversationKey;
use super::ids::{ApprovalId, ChannelId, OwedId, Ts, TurnId, UserId};
use super::inbound::Button;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The channel or DM.
    pub channel: ChannelId,
    /// The thread, when it goes into one.
    pub thread: Option<Ts>,
}

impl From<&ConversationKey> for Place {
    fn from(key: &ConversationKey) -> Self {
        let thread = (!key.is_channel_wide()).then(|| key.thread.clone());
        Self { channel: key.channel.clone(), thread }
    }
}

/// Something that must reach Slack: a row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its id, sent along in the message's metadata.
    pub id: OwedId,
    /// The conversation whose order it keeps.
    pub conversation: ConversationKey,
    /// The turn that it belongs to, if any.
    pub turn: Option<TurnId>,
    /// The message that it answers, if it answers one.
    pub answers: Option<Answers>,
    /// What is to be done.
    pub op: Op,
}

/// A person's message that one of ours answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// Nothing more is to come.
    Finally(Ts),
    /// Only for now: its turn was interrupted, and the answer is still to come, or waits for a decision.
    Interim(Ts),
}

impl Answers {
    /// That message.
    pub fn message(&self) -> &Ts {
        let (Self::Finally(message) | Self::Interim(message)) = self;
        message
    }
}

/// By what a message of ours is recognised when it is read back; travels in its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The delivery's key.
    pub key: OwedId,
    /// The message that it answers, if it answers one.
    pub answers: Option<Answers>,
}

impl From<OwedId> for Label {
    /// For what answers nothing.
    fn from(key: OwedId) -> Self {
        Self { key, answers: None }
    }
}

/// What is to be done in Slack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Post a message into the conversation.
    Post(Body),
    /// Give a message that was streamed its final form: end the stream, then replace its text.
    Finish {
        /// The streamed message.
        ts: Ts,
        /// Its final form.
        body: Body,
    },
    /// Replace a message that an earlier row posted.
    Revise {
        /// That row.
        of: OwedId,
        /// The new form.
        body: Body,
    },
    /// Delete a message, such as a piece of a stream that the final text does not need.
    Delete {
        /// The message.
        ts: Ts,
    },
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Text in its conversation's markup, at most one part long, as [`Render`](super::ports::Render) makes it.
    Text(String),
    /// The same without any layout, for what Slack did not take with one. Never stored.
    Plain(String),
    /// A request for a decision, with its buttons or its result.
    Approval(ApprovalCard),
    /// Rows with a button each.
    List(List),
}

/// Rows with a button each, such as sessions to connect. What is too much for one message is left out at the end, and that is said.
///
/// All its texts are in its conversation's markup, as [`Render`](super::ports::Render) makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// What stands above the rows.
    pub text: String,
    /// The rows.
    pub rows: Vec<ListRow>,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRow {
    /// What it says.
    pub text: String,
    /// Its button, if there is something to do with it.
    pub button: Option<ListButton>,
}

/// A row's button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListButton {
    /// What stands on it, as plain text.
    pub label: String,
    /// What a press means.
    pub button: Button,
    /// Whether it destroys something.
    pub danger: bool,
}

impl Body {
    /// About how many bytes its texts take.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Plain(text) => text.len(),
            Self::Approval(card) => card.title.len() + card.detail.as_ref().map_or(0, String::len),
            Self::List(list) => list.text.len() + list.rows.iter().map(|row| row.text.len()).sum::<usize>(),
        }
    }
}

/// A request for a decision, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCard {
    /// The approval's id; its buttons carry it.
    pub id: ApprovalId,
    /// Who may decide, admins aside.
    pub requester: UserId,
    /// What the agent wants to do.
    pub title: String,
    /// The exact command, path or input.
    pub detail: Option<String>,
    /// Label and meaning of each option, in the agent's order.
    pub options: Vec<(String, OptionKind)>,
    /// Whether the command is too long to be shown here, and comes whole in a [file](ApprovalCard::file_name) below.
    #[serde(default)]
    pub attached: bool,
    /// How it stands.
    pub state: ApprovalState,
}

impl ApprovalCard {
    /// Whether it asks for an answer rather than for permission.
    pub fn is_question(&self) -> bool {
        !self.options.is_empty() && self.options.iter().all(|(_, kind)| *kind == OptionKind::Choice)
    }

    /// What is decided about, to the byte.
    pub fn command(&self) -> &str {
        self.detail.as_ref().unwrap_or(&self.title)
    }

    /// The command's SHA-256, in hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut digits = String::with_capacity(64);
        for byte in Sha256::digest(self.command()) {
            let _infallible = write!(digits, "{byte:02x}");
        }
        digits
    }

    /// What the file is called in which the whole command comes.
    pub fn file_name(&self) -> String {
        format!("command-{}.txt", &self.hash()[..8])
    }
}

/// How an approval stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Waiting for a press; it expires as a rejection after so many seconds.
    Open {
        /// Seconds from posting until it expires.
        expires_after_s: u64,
    },
    /// Somebody decided.
    Decided {
        /// Who.
        by: UserId,
        /// The chosen option's place in the list.
        option: usize,
    },
    /// Nobody decided in time: rejected.
    Expired,
    /// The turn ended or was stopped first.
    Withdrawn,
    /// The process that asked ended first.
    CutOff,
}
