//! Slack as a place to write to: the ports of the domain on the Web API.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::api::{Api, AuthTest, Call, Encoding, Urgency};
use super::error::ApiError;
use super::events::Identity;
use super::{blocks, markdown};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, OwedId, Ts, UserId};
use crate::domain::inbound::ReplyUrl;
use crate::domain::outgoing::{Body, Place};
use crate::domain::ports::{Render, SlackWrite, Trace, WriteError};

/// The event type of our messages' metadata; its payload holds the delivery's key.
const METADATA: &str = "hitchline";

/// How many messages are looked through at a time.
const PAGE: u32 = 200;

/// The way to Slack.
#[derive(Debug)]
pub struct Surface {
    api: Arc<Api>,
    me: Identity,
}

impl Surface {
    /// Writes as the bot that `me` describes.
    pub fn new(api: Arc<Api>, me: &AuthTest) -> Self {
        Self { api, me: me.identity() }
    }

    async fn write(&self, method: &'static str, place: &str, args: Value) -> Result<Value, ApiError> {
        self.api.call(Call { method, encoding: Encoding::Json, place, urgency: Urgency::Wait, args }).await
    }

    /// A write that is only worth making now.
    async fn show(&self, method: &'static str, place: &str, args: Value) -> Result<Value, ApiError> {
        self.api.call(Call { method, encoding: Encoding::Json, place, urgency: Urgency::Now, args }).await
    }

    /// A call for which the code `fine` means that what it asks for is so already.
    async fn ensure(
        &self,
        method: &'static str,
        channel: &ChannelId,
        args: Value,
        fine: &str,
    ) -> Result<(), WriteError> {
        match self.write(method, channel.as_str(), args).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == fine => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Render for Surface {
    fn parts(&self, markdown: &str) -> Vec<String> {
        markdown::render(markdown, markdown::PART_LIMIT)
    }
}

#[async_trait]
impl SlackWrite for Surface {
    async fn post(&self, to: &Place, body: &Body, key: OwedId) -> Result<Ts, WriteError> {
        let mut args = message(&to.channel, to.thread.as_ref(), body);
        args["metadata"] = json!({"event_type": METADATA, "event_payload": {"key": key.to_string()}});
        posted(&self.write("chat.postMessage", to.channel.as_str(), args).await?, "chat.postMessage")
    }

    async fn update(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        let mut args = message(channel, None, body);
        args["ts"] = json!(ts);
        self.write("chat.update", channel.as_str(), args).await?;
        Ok(())
    }

    async fn delete(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "ts": ts});
        self.ensure("chat.delete", channel, args, "message_not_found").await
    }

    async fn whisper(&self, to: &Place, user: &UserId, markdown: &str) -> Result<(), WriteError> {
        let mut args = message(&to.channel, to.thread.as_ref(), &Body::Text(self.first_part(markdown)));
        args["user"] = json!(user);
        self.write("chat.postEphemeral", to.channel.as_str(), args).await?;
        Ok(())
    }

    async fn respond(&self, to: &ReplyUrl, markdown: &str) -> Result<(), WriteError> {
        let text = self.first_part(markdown);
        // In place of nothing: a press must not replace the message that holds the button.
        let body = json!({"response_type": "ephemeral", "replace_original": false, "text": text, "unfurl_links": false, "unfurl_media": false});
        Ok(self.api.respond(&to.0, &body).await?)
    }

    async fn status(&self, to: &Place, text: &str) -> Result<(), WriteError> {
        let args = json!({"channel_id": to.channel, "thread_ts": to.thread, "status": text});
        let thread = to.thread.as_ref().map_or("", Ts::as_str);
        self.show("assistant.threads.setStatus", thread, args).await?;
        Ok(())
    }

    async fn start_stream(&self, to: &ConversationKey, recipient: &UserId, markdown: &str) -> Result<Ts, WriteError> {
        let args = json!({
            "channel": to.channel,
            "thread_ts": to.thread,
            "recipient_user_id": recipient,
            "recipient_team_id": self.me.team,
            "chunks": [chunk(markdown)],
        });
        posted(&self.show("chat.startStream", to.channel.as_str(), args).await?, "chat.startStream")
    }

    async fn append_stream(&self, channel: &ChannelId, ts: &Ts, markdown: &str) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "ts": ts, "chunks": [chunk(markdown)]});
        self.show("chat.appendStream", channel.as_str(), args).await?;
        Ok(())
    }

    async fn stop_stream(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "ts": ts});
        self.ensure("chat.stopStream", channel, args, "message_not_in_streaming_state").await
    }

    async fn look_back(&self, to: &ConversationKey, since: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError> {
        const METHOD: &str = "conversations.replies";
        let mut args = json!({
            "channel": to.channel, "ts": to.thread, "oldest": since, "include_all_metadata": true, "limit": PAGE,
        });
        loop {
            let (place, page) = (to.channel.as_str(), args.clone());
            let call = Call { method: METHOD, encoding: Encoding::Form, place, urgency: Urgency::Wait, args: page };
            let answer = self.api.call(call).await?;
            let found =
                answer["messages"].as_array().into_iter().flatten().find(|message| self.is_ours(message, trace));
            if let Some(ts) = found.and_then(|message| message["ts"].as_str()) {
                return Ok(Some(ts.into()));
            }
            match answer["response_metadata"]["next_cursor"].as_str().filter(|cursor| !cursor.is_empty()) {
                Some(cursor) => args["cursor"] = json!(cursor),
                None => return Ok(None),
            }
        }
    }
}

impl Surface {
    /// What fits into one private message; we never say more there.
    fn first_part(&self, markdown: &str) -> String {
        self.parts(markdown).into_iter().next().unwrap_or_default()
    }

    /// Whether a message of `conversations.replies` is the one that left the `trace`.
    fn is_ours(&self, message: &Value, trace: Trace) -> bool {
        match trace {
            Trace::Key(key) => {
                let metadata = &message["metadata"];
                metadata["event_type"] == METADATA && metadata["event_payload"]["key"] == key.to_string()
            }
            Trace::Growing => message["user"] == self.me.user.as_str() && message["streaming_state"] == "in_progress",
        }
    }
}

/// A message's arguments. Links are never unfurled: a preview fetches the address, and with it whatever an agent put there.
fn message(channel: &ChannelId, thread: Option<&Ts>, body: &Body) -> Value {
    let (text, blocks) = blocks::content(body);
    let mut args = json!({
        "channel": channel, "text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false,
    });
    if let Some(thread) = thread {
        args["thread_ts"] = json!(thread);
    }
    args
}

fn chunk(markdown: &str) -> Value {
    json!({"type": "markdown_text", "text": markdown::live(markdown)})
}

fn posted(answer: &Value, method: &'static str) -> Result<Ts, WriteError> {
    let ts = answer["ts"].as_str().map(Ts::from);
    ts.ok_or_else(|| ApiError::lost(method, true, "the answer names no message").into())
}
