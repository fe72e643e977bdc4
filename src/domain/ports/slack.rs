//! What Slack, or the web chat in its place, does for other rooms.

use std::path::Path;

use async_trait::async_trait;

use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::{ChannelId, OwedId, TeamId, Ts, UserId};
use crate::domain::inbound::{ChannelKind, File, Inbound, ReplyUrl};
use crate::domain::outgoing::{ApprovalCard, Body, Label, Place};

/// Turns an agent's Markdown into what a message holds; `slack` implements it for Slack, `chat` for both surfaces.
pub trait Render: Send + Sync {
    /// The parts in which `markdown` is posted, in order, each written in `markup` and short enough for one message. Empty for empty
    /// text.
    fn parts(&self, markup: Markup, markdown: &str) -> Vec<String>;

    /// Whether a card of a conversation in `markup` shows all of its command.
    fn shows_whole(&self, markup: Markup, card: &ApprovalCard) -> bool;
}

/// Writes to Slack; `slack` implements it, the outbox and the reply writer call it.
///
/// Each call is one attempt, paced but not repeated: who owns the row or the piece decides what an error means. What only shows how an
/// answer comes along (`status`, `start_stream`, `append_stream`, `start_draft`, `edit_draft`, `mark`) never waits to be paced, so that it
/// is never before what is owed: it fails with [`WriteErrorKind::Rate`].
#[async_trait]
pub trait SlackWrite: Send + Sync {
    /// Posts a message and returns its time stamp.
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError>;
    /// Replaces a message of ours.
    async fn update(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError>;
    /// Gives a message of ours that grew its final form, and its label.
    async fn finish(&self, channel: &ChannelId, ts: &Ts, body: &Body, label: &Label) -> Result<(), WriteError>;
    /// Deletes a message of ours; one that is gone already counts as deleted.
    async fn delete(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError>;
    /// Shows `body` to `user` alone. At most once: it is never the only carrier of a result.
    async fn whisper(&self, to: &Place, user: &UserId, body: &Body) -> Result<(), WriteError>;
    /// Answers a slash command or a click, for its author alone. At most once.
    async fn respond(&self, to: &ReplyUrl, body: &Body) -> Result<(), WriteError>;
    /// Puts a mark on a person's message or takes it off; one that is there, or gone, already is fine.
    async fn mark(&self, channel: &ChannelId, ts: &Ts, mark: Mark, on: bool) -> Result<(), WriteError>;
    /// Makes a private channel with us and `members` in it. A name that is taken (`name_taken`) or that Slack refuses (`invalid_name…`)
    /// is [`WriteErrorKind::Permanent`]: it is for the caller to try another.
    async fn create_channel(&self, name: &str, members: &[UserId]) -> Result<ChannelId, WriteError>;
    /// Shows a status line in a thread, such as "is thinking…"; empty text clears it. Outside of threads there is none.
    async fn status(&self, to: &Place, text: &str) -> Result<(), WriteError>;
    /// Starts a message that grows, with its first piece of Markdown, as the answer to `recipient` in `conversation`.
    async fn start_stream(&self, to: &ConversationKey, recipient: &UserId, markdown: &str) -> Result<Ts, WriteError>;
    /// Adds a piece of Markdown to a growing message.
    async fn append_stream(&self, channel: &ChannelId, ts: &Ts, markdown: &str) -> Result<(), WriteError>;
    /// Posts a message that grows by being edited, as far as it has come; returns its time stamp.
    async fn start_draft(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError>;
    /// Shows how far such a message has come.
    async fn edit_draft(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError>;
    /// Ends a growing message; one that has ended already is fine.
    async fn stop_stream(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError>;
    /// Looks through a conversation for a message of ours whose posting was not answered. `since`: a message, after which it stands
    /// if it is there.
    async fn look_back(&self, to: &ConversationKey, since: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError>;
}

/// A mark of ours on somebody's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It waits for its turn.
    Waiting,
}

/// Reads what was said in Slack, and where one may still speak; `slack` implements it.
#[async_trait]
pub trait SlackRead: Send + Sync {
    /// The last `limit` messages of a conversation that stand before the message `before`, oldest first. Of a whole channel, those that
    /// stand in no thread.
    ///
    /// # Errors
    /// As a write's: [`WriteErrorKind::PlaceClosed`] when the conversation is gone or closed to us.
    async fn thread(&self, conversation: &ConversationKey, before: &Ts, limit: usize) -> Result<Vec<Said>, WriteError>;

    /// Whether messages of ours answer the message `ts`, by their own [`Label`]s. `conversation` is where the answer would stand: of a
    /// whole channel, the thread of the message.
    ///
    /// # Errors
    /// As [`SlackRead::thread`]; also [`WriteErrorKind::Permanent`] when there is too much to look through.
    async fn answered(&self, conversation: &ConversationKey, ts: &Ts) -> Result<Answered, WriteError>;

    /// Whether a channel or DM of our own workspace is gone, archived, or one that we are not in. One attempt.
    ///
    /// # Errors
    /// As a write's, when that can't be told; never [`WriteErrorKind::PlaceClosed`].
    async fn is_closed(&self, channel: &ChannelId) -> Result<bool, WriteError>;
}

/// How far a message has been answered, as Slack shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Not at all.
    No,
    /// Only for now: it is told that its turn was interrupted.
    Interim,
    /// Nothing more is to come.
    Finally,
}

/// Puts reactions of ours on messages; `slack` implements it, the agents' tools call it.
#[async_trait]
pub trait Reactions: Send + Sync {
    /// Puts an emoji on a message, by its name without colons; one that is there already is fine.
    ///
    /// # Errors
    /// As a write's: [`WriteErrorKind::Permanent`] with `invalid_name` when there is no such emoji.
    async fn react(&self, channel: &ChannelId, ts: &Ts, emoji: &str) -> Result<(), WriteError>;
}

/// Says who people are; `slack` implements it, the agents' tools call it.
#[async_trait]
pub trait People: Send + Sync {
    /// What is known of somebody.
    ///
    /// # Errors
    /// As a write's: [`WriteErrorKind::Permanent`] when there is nobody of this id whom we may see.
    async fn profile(&self, user: &UserId) -> Result<Profile, WriteError>;
}

/// What is known of a person. Their address is none of an agent's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Their id.
    pub id: UserId,
    /// What others call them: the name that they chose to be shown, or else their real one.
    pub name: String,
    /// What they do, in their own words, where they say so.
    pub title: Option<String>,
    /// Their time zone, such as `Europe/Berlin`, where it is known.
    pub time_zone: Option<String>,
    /// Whether it is no person but a bot.
    pub is_bot: bool,
}

/// Carries files between Slack and this machine; `slack` implements it, the session room calls it.
///
/// Each call is one attempt.
#[async_trait]
pub trait Files: Send + Sync {
    /// Writes a file's content to `into`, which must not be there yet; at most `limit` bytes. What was begun in vain is removed.
    async fn fetch(&self, file: &File, into: &Path, limit: u64) -> Result<(), NotFetched>;

    /// Uploads a file and shows it at a place, once: where the answer that says so is lost, it is asked for, and not simply done again.
    /// The label is not kept by Slack with a file; it stands in the log alone.
    ///
    /// # Errors
    /// As a write's. One that is uncertain may have shown the file.
    async fn upload(&self, to: &Place, file: Upload, label: &Label) -> Result<(), WriteError>;
}

/// A file to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name, as people see it.
    pub name: String,
    /// What it holds; at least one byte.
    pub bytes: Vec<u8>,
}

/// Why a file was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// It is larger than what is taken.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// How many bytes are taken.
        limit: u64,
    },
    /// We may not: the scope `files:read` is missing, or the file is not shared with us.
    #[error("Slack does not give it to this app: does its bot token have the scope `files:read`?")]
    NotAllowed,
    /// It is not in Slack any more.
    #[error("it is not in Slack any more")]
    Gone,
    /// It is not in Slack, or Slack sends us elsewhere for it: our token goes nowhere else.
    #[error("it does not lie in Slack itself")]
    Elsewhere,
    /// It may work later. The reason holds no address.
    #[error("{0}")]
    Failed(String),
    /// It can't be kept here.
    #[error("it can't be kept on this machine: {0}")]
    NotKept(String),
}

/// Reads back what was said while nobody listened; `slack` implements it, the catch-up calls it.
///
/// Each call is one attempt and reads one page; its errors are as a write's.
#[async_trait]
pub trait ReadBack: Send + Sync {
    /// Slack's own time, in microseconds since the Unix epoch, as its answers told it: up to a second too early, never too late.
    fn now_us(&self) -> i64;
    /// The channels and DMs that we are in. `cursor`: where the page begins, if it is not the first.
    async fn channels(&self, cursor: Option<&str>) -> Result<ReadPage<Joined>, WriteError>;
    /// What was said after the moment `since` in a thread; without one, in none: then from the newest to the oldest.
    async fn said_since(
        &self,
        channel: &Joined,
        thread: Option<&Ts>,
        since: &Ts,
        cursor: Option<&str>,
    ) -> Result<ReadPage<Reading>, WriteError>;
}

/// A part of what is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPage<T> {
    /// What stands there.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
    /// Whether Slack said that there is more, but not where.
    pub cut: bool,
}

/// A channel or DM that we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Our workspace.
    pub team: TeamId,
    /// Its id.
    pub channel: ChannelId,
    /// What kind of place it is.
    pub kind: ChannelKind,
    /// Whether people of other workspaces are there.
    pub shared: bool,
}

/// A message of a place that is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its time stamp.
    pub ts: Ts,
    /// What a person did by it, under the same keys as when it is delivered; nothing when it is not for us, as those of bots.
    pub inbound: Option<Box<Inbound>>,
    /// Of a thread's root: its latest reply.
    pub latest_reply: Option<Ts>,
}

/// A message that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who said it; of a bot that has no user, its own id.
    pub author: UserId,
    /// Whether we did.
    pub ours: bool,
    /// What it says, as plain text.
    pub text: String,
}

/// By what a message of ours is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// The key in its metadata.
    Key(OwedId),
    /// It still grows. A turn has at most one such message.
    Growing,
}

/// A write that did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {code}")]
pub struct WriteError {
    /// What it means.
    pub kind: WriteErrorKind,
    /// The Web API method.
    pub call: &'static str,
    /// Slack's error code or what the connection did; holds no secret and no message text.
    pub code: String,
}

/// What a failed write means; decided once, where the answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteErrorKind {
    /// It will never work: the content is refused, or we may not.
    Permanent,
    /// Nothing can be said there: the channel is gone, archived, or closed to us.
    PlaceClosed,
    /// The content is refused for its form: as plain text it may be taken.
    Unfit {
        /// Whether it is too long, too.
        too_long: bool,
    },
    /// The message to be changed is gone or can't be changed any more: post anew.
    MessageGone,
    /// Streams don't work here, or this one has ended: use plain messages.
    StreamUnavailable,
    /// The person pressed Stop.
    StoppedByUser,
    /// The token is not valid any more: everything waits.
    Auth,
    /// Too fast; try again after so many milliseconds.
    Rate {
        /// Milliseconds to wait.
        after_ms: u64,
    },
    /// It may work later. `uncertain`: it may even have worked, the answer was lost.
    Transient {
        /// Whether it may have taken effect.
        uncertain: bool,
    },
}
