//! A message as the world remembers it.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use super::ids::{APP, BOT, BOT_USER, TEAM, Ts};

/// How many texts of one message are remembered; the oldest but one goes first.
const MAX_VERSIONS: usize = 2_000;

/// A message, whoever can see it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) ts: Ts,
    /// Root of the thread it replies in; `None` for a top level message.
    pub(super) thread_ts: Option<Ts>,
    pub(super) user: String,
    /// The author's team, which differs from ours for people from outside.
    pub(super) team: String,
    pub(super) text: String,
    pub(super) blocks: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) files: Option<Value>,
    pub(super) client_msg_id: Option<String>,
    pub(super) edited: Option<Edited>,
    pub(super) deleted: bool,
    pub(super) stream: Option<Stream>,
    /// Whether its text is a stream's Markdown; an update replaces that.
    pub(super) markdown: bool,
    /// The only person who sees it.
    pub(super) ephemeral_to: Option<String>,
    pub(super) reactions: Vec<Reaction>,
    /// Replies in order, on a root only.
    pub(super) replies: Vec<Ts>,
    /// Replies that only one person sees, on a root only.
    pub(super) ephemeral_replies: Vec<Ts>,
    pub(super) versions: Vec<Version>,
}

/// Who edited a message last, and when.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Edited {
    pub(super) user: String,
    pub(super) ts: Ts,
}

/// Everybody who reacted with one emoji.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Reaction {
    pub(super) name: String,
    pub(super) users: Vec<String>,
}

/// A text the message has shown.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Version {
    /// Wall time, milliseconds since the epoch.
    pub(super) at_ms: u64,
    pub(super) text: String,
}

/// What makes a message a stream.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) state: StreamState,
    /// When it ends by itself.
    pub(super) ends: Instant,
    /// Blocks that came as chunks (task cards, the plan's title), in order of first appearance.
    pub(super) cards: Vec<Value>,
}

/// Where a stream is in its life; only `Open` takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamState {
    Open,
    Completed,
    /// Ended by itself: Slack closes a stream about five minutes after its start.
    Expired,
    /// A person pressed Stop.
    Stopped,
}

impl Message {
    /// A message that shows `text`.
    pub(super) fn new(channel: &str, ts: Ts, user: &str, text: String) -> Self {
        let versions = vec![Version { at_ms: ts.millis(), text: text.clone() }];
        Self {
            channel: channel.to_owned(),
            ts,
            thread_ts: None,
            user: user.to_owned(),
            team: TEAM.to_owned(),
            text,
            blocks: None,
            metadata: None,
            files: None,
            client_msg_id: None,
            edited: None,
            deleted: false,
            stream: None,
            markdown: false,
            ephemeral_to: None,
            reactions: Vec::new(),
            replies: Vec::new(),
            ephemeral_replies: Vec::new(),
            versions,
        }
    }

    /// Root of the thread it belongs to, its own `ts` when it is top level.
    pub(super) fn root(&self) -> Ts {
        self.thread_ts.unwrap_or(self.ts)
    }

    pub(super) fn is_bot(&self) -> bool {
        self.user == BOT_USER
    }

    /// Whether the Web API shows it, be it as a tombstone.
    pub(super) fn is_there(&self) -> bool {
        !self.deleted || !self.replies.is_empty()
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.state == StreamState::Open)
    }

    /// Shows `text` from now on and remembers what was shown before.
    pub(super) fn show(&mut self, text: String, at: Ts) {
        if text == self.text {
            return;
        }
        if self.versions.len() >= MAX_VERSIONS {
            self.versions.remove(1);
        }
        self.versions.push(Version { at_ms: at.millis(), text: text.clone() });
        self.text = text;
    }

    /// The message object of the Web API and of events; a tombstone once it is deleted.
    pub(super) fn slack(&self) -> Value {
        if self.deleted {
            return self.with_replies(json!({
                "type": "message", "subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted.",
                "hidden": true, "ts": self.ts,
            }));
        }
        let mut object =
            json!({"type": "message", "user": self.user, "text": self.text, "ts": self.ts, "team": self.team});
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object[key] = value;
            }
        };
        if self.is_bot() {
            set("bot_id", Some(BOT.into()));
            set("app_id", Some(APP.into()));
        }
        set("thread_ts", self.thread_ts.map(|ts| json!(ts)));
        set("client_msg_id", self.client_msg_id.as_ref().map(|id| json!(id)));
        set("blocks", self.blocks.clone());
        set("metadata", self.metadata.clone());
        set("files", self.files.clone());
        set("edited", self.edited.as_ref().map(|edited| json!(edited)));
        set("streaming_state", self.stream.as_ref().map(|stream| stream.state.slack().into()));
        if !self.reactions.is_empty() {
            set("reactions", Some(self.reactions.iter().map(Reaction::slack).collect()));
        }
        self.with_replies(object)
    }

    /// The message object of a thread's root says so.
    fn with_replies(&self, mut object: Value) -> Value {
        if let Some(latest) = self.replies.last() {
            object["thread_ts"] = json!(self.ts);
            object["reply_count"] = self.replies.len().into();
            object["latest_reply"] = json!(latest);
        }
        object
    }

    /// The message as the control API and the page show it. The page's feed leaves the versions out: a long stream would
    /// otherwise repeat all its texts with each piece.
    pub(super) fn shown(&self, with_versions: bool) -> Value {
        let mut object = json!({
            "channel": self.channel,
            "ts": self.ts,
            "user": self.user,
            "text": self.text,
            "streaming": self.is_streaming(),
            "reactions": self.reactions,
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object[key] = value;
            }
        };
        set("thread_ts", self.thread_ts.map(|ts| json!(ts)));
        set("bot_id", self.is_bot().then(|| BOT.into()));
        set("blocks", self.blocks.clone());
        set("metadata", self.metadata.clone());
        set("files", self.files.clone());
        set("edited", self.edited.as_ref().map(|edited| json!(edited)));
        set("deleted", self.deleted.then_some(Value::Bool(true)));
        set("ephemeral_to", self.ephemeral_to.as_ref().map(|user| json!(user)));
        set("reply_count", (!self.replies.is_empty()).then(|| self.replies.len().into()));
        set("markdown", self.markdown.then_some(Value::Bool(true)));
        set("versions", with_versions.then(|| json!(self.versions)));
        object
    }
}

impl Reaction {
    fn slack(&self) -> Value {
        json!({"name": self.name, "users": self.users, "count": self.users.len()})
    }
}

impl StreamState {
    /// Its name in a message's `streaming_state`.
    fn slack(self) -> &'static str {
        match self {
            Self::Open => "in_progress",
            Self::Completed | Self::Expired | Self::Stopped => "completed",
        }
    }
}

/// Gives every block and every interactive element an id, as Slack does for those that come without.
pub(super) fn number_blocks(blocks: &mut Value) {
    for block in blocks.as_array_mut().into_iter().flatten() {
        set_missing(block, "block_id");
        for element in block.get_mut("elements").and_then(Value::as_array_mut).into_iter().flatten() {
            if element["type"] == "button" {
                set_missing(element, "action_id");
            }
        }
    }
}

fn set_missing(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.entry(key).or_insert_with(|| short_id().into());
    }
}

fn short_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_remembers_each_text_once() {
        let mut message = Message::new("C1", Ts(1_000), "U1", "a".to_owned());
        for text in ["a", "ab", "ab", "abc"] {
            message.show(text.to_owned(), Ts(2_000));
        }
        let texts: Vec<_> = message.versions.iter().map(|version| version.text.as_str()).collect();
        assert_eq!(texts, ["a", "ab", "abc"]);
    }

    #[test]
    fn versions_are_bounded_and_keep_the_first_text() {
        let mut message = Message::new("C1", Ts(1), "U1", "first".to_owned());
        for n in 0..MAX_VERSIONS * 2 {
            message.show(n.to_string(), Ts(2));
        }
        assert_eq!(message.versions.len(), MAX_VERSIONS);
        assert_eq!(message.versions[0].text, "first");
    }

    #[test]
    fn blocks_without_ids_get_them_and_others_keep_theirs() {
        let mut blocks = json!([
            {"type": "section"},
            {"type": "actions", "block_id": "mine", "elements": [{"type": "button"}, {"type": "button", "action_id": "yes"}]}
        ]);
        number_blocks(&mut blocks);
        assert!(blocks[0]["block_id"].is_string());
        assert_eq!(blocks[1]["block_id"], "mine");
        assert!(blocks[1]["elements"][0]["action_id"].is_string());
        assert_eq!(blocks[1]["elements"][1]["action_id"], "yes");
    }
}
