//! What was said before, read back from Slack.

use std::collections::VecDeque;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::api::{Call, Encoding, Urgency};
use super::error::{ApiError, ApiErrorKind};
use super::events::{MESSAGES, is_own};
use super::surface::{ABOUT, ANSWERS, KEY, METADATA, Surface};
use super::text::plain;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, Ts};
use crate::domain::ports::{Answered, Said, SlackRead, Trace, WriteError};

/// How many messages are asked for at a time when one is looked for, and when many are read (999 is the most that Slack gives).
const LOOKED_THROUGH: usize = 200;
const READ: usize = 999;
/// How many pages are looked through for one message.
const PAGES: usize = 50;

/// Slack's word for a thread whose root is gone, and for one that the reads have not caught up with: either way nothing is shown there.
pub(super) const NO_THREAD: &str = "thread_not_found";

/// A part of a conversation, as Slack gives it.
struct Page {
    messages: Vec<Value>,
    /// Where the next one begins.
    next: Option<String>,
}

#[async_trait]
impl SlackRead for Surface {
    async fn thread(&self, conversation: &ConversationKey, before: &Ts, limit: usize) -> Result<Vec<Said>, WriteError> {
        let newest_first = conversation.is_channel_wide();
        let mut args = json!({"latest": before, "inclusive": false, "limit": READ});
        let mut said = VecDeque::new();
        loop {
            let page = self.page(conversation, &args).await?;
            // Each page of a thread begins with its root.
            let again = |message: &&Value| args["cursor"].is_string() && message["ts"] == conversation.thread.as_str();
            for message in page.messages.iter().filter(|message| !again(message)) {
                match self.said(message, before) {
                    Some(words) if newest_first => said.push_front(words),
                    Some(words) => said.push_back(words),
                    None => {}
                }
            }
            let enough = newest_first && said.len() >= limit;
            said.drain(..said.len().saturating_sub(limit));
            match page.next {
                Some(next) if !enough => args["cursor"] = json!(next),
                _ => return Ok(said.into()),
            }
        }
    }

    async fn answered(&self, conversation: &ConversationKey, ts: &Ts) -> Result<Answered, WriteError> {
        let mut answered = Answered::No;
        let answers = |message: &Value| {
            // Unlike a key, a time stamp is no secret: others could say that they have answered it.
            let says = |name: &str| self.is_ours(message) && label(message)[name] == ts.as_str();
            if says(ABOUT) {
                answered = Answered::Interim;
            }
            says(ANSWERS)
        };
        let found = self.first(conversation, ts, answers).await?;
        Ok(if found.is_some() { Answered::Finally } else { answered })
    }

    async fn is_closed(&self, channel: &ChannelId) -> Result<bool, WriteError> {
        let (method, place, args) = ("conversations.info", channel.as_str(), json!({"channel": channel}));
        match self.api.call(Call { method, encoding: Encoding::Form, place, urgency: Urgency::Wait, args }).await {
            Ok(answer) => Ok(is_closed(&answer["channel"])),
            Err(error) if error.kind == ApiErrorKind::PlaceClosed => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Surface {
    /// The first message after `since` that left the `trace`.
    pub(super) async fn find(
        &self,
        conversation: &ConversationKey,
        since: &Ts,
        trace: Trace,
    ) -> Result<Option<Ts>, WriteError> {
        self.first(conversation, since, |message| self.left(message, trace)).await
    }

    /// The first message after `since` that is the one; without a time stamp there, the whole conversation is looked through.
    async fn first(
        &self,
        conversation: &ConversationKey,
        since: &Ts,
        mut is_it: impl FnMut(&Value) -> bool + Send,
    ) -> Result<Option<Ts>, WriteError> {
        let mut args = json!({"include_all_metadata": true, "limit": LOOKED_THROUGH});
        if !since.as_str().is_empty() {
            args["oldest"] = json!(since);
        }
        for _ in 0..PAGES {
            let page = match self.page(conversation, &args).await {
                Err(error) if error.code == NO_THREAD => return Ok(None),
                page => page?,
            };
            let found = page.messages.iter().find(|message| is_it(message));
            if let Some(ts) = found.and_then(|message| message["ts"].as_str()) {
                return Ok(Some(ts.into()));
            }
            match page.next {
                Some(next) => args["cursor"] = json!(next),
                None => return Ok(None),
            }
        }
        Err(ApiError::too_long(method(conversation)).into())
    }

    /// The part of a conversation that `window` describes: of a thread oldest first, of a channel newest first.
    async fn page(&self, conversation: &ConversationKey, window: &Value) -> Result<Page, ApiError> {
        let mut args = window.clone();
        args["channel"] = json!(conversation.channel);
        if !conversation.is_channel_wide() {
            args["ts"] = json!(conversation.thread);
        }
        let method = method(conversation);
        let place = conversation.channel.as_str();
        let call = Call { method, encoding: Encoding::Form, place, urgency: Urgency::Wait, args };
        let mut answer = self.api.call(call).await?;
        let messages = match answer["messages"].take() {
            Value::Array(messages) => messages,
            _ => Vec::new(),
        };
        let next = answer["response_metadata"]["next_cursor"].as_str().filter(|next| !next.is_empty());
        Ok(Page { messages, next: next.map(str::to_owned) })
    }

    /// Whether a message of ours is the one that left the `trace`.
    fn left(&self, message: &Value, trace: Trace) -> bool {
        match trace {
            Trace::Key(key) => label(message)[KEY] == key.to_string(),
            Trace::Growing => message["user"] == self.me.user.as_str() && message["streaming_state"] == "in_progress",
        }
    }

    fn is_ours(&self, message: &Value) -> bool {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        is_own(&self.me, text("user"), text("bot_id"))
    }

    /// What a message says, when it stands before the message `before` and somebody said it.
    fn said(&self, message: &Value, before: &Ts) -> Option<Said> {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        let (user, bot, subtype) = (text("user"), text("bot_id"), text("subtype"));
        let author = if user.is_empty() { bot } else { user };
        let words = plain(text("text"), self.me.user.as_str()).text;
        let is_said = MESSAGES.contains(&subtype) || subtype == "bot_message";
        let counts = is_said && !author.is_empty() && !words.is_empty() && Ts::from(text("ts")) < *before;
        counts.then(|| Said { author: author.into(), ours: is_own(&self.me, user, bot), text: words })
    }
}

/// Whether nothing can be said in a channel, as `conversations.info` describes it. Of a DM nobody is a member.
fn is_closed(channel: &Value) -> bool {
    channel["is_archived"] == true || (channel["is_member"] == false && channel["is_im"] != true)
}

/// How a conversation is read.
fn method(conversation: &ConversationKey) -> &'static str {
    if conversation.is_channel_wide() { "conversations.history" } else { "conversations.replies" }
}

/// The label of a message as its metadata has it; nothing where it bears none.
fn label(message: &Value) -> &Value {
    let metadata = &message["metadata"];
    if metadata["event_type"] == METADATA { &metadata["event_payload"] } else { &Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_closed_when_it_is_archived_or_we_are_not_in_it() {
        let cases = [
            (json!({"is_archived": false, "is_member": true}), false),
            (json!({"is_archived": true, "is_member": true}), true),
            (json!({"is_archived": false, "is_member": false}), true),
            (json!({"is_im": true, "is_archived": false, "is_member": false}), false),
            (json!({"is_im": true}), false),
            (json!({}), false),
            (json!(null), false),
        ];
        for (channel, closed) in cases {
            assert_eq!(is_closed(&channel), closed, "{channel}");
        }
    }
}
