//! Slack as a place to write to: the ports of the domain on the Web API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::api::{Api, AuthTest, Call, Encoding, Urgency};
use super::error::ApiError;
use super::events::Identity;
use super::{blocks, markdown};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::{ChannelId, OwedId, Ts, UserId};
use crate::domain::inbound::ReplyUrl;
use crate::domain::outgoing::{Answers, ApprovalCard, Body, Label, Place};
use crate::domain::ports::{Mark, Reactions, Render, SlackWrite, Trace, WriteError};

/// The event type of our messages' metadata; its payload holds the label: the delivery's key, and the message that it answers.
pub(super) const METADATA: &str = "hitchline";
/// What the label's fields are called there.
pub(super) const KEY: &str = "key";
pub(super) const ANSWERS: &str = "answers";
/// The same where it answers only for now.
pub(super) const ABOUT: &str = "about";

const POST: &str = "chat.postMessage";
const UPDATE: &str = "chat.update";
/// How an argument is refused that Slack doesn't know.
const UNKNOWN_ARGUMENT: [&str; 2] = ["invalid_arg_name", "invalid_arguments"];

/// The way to Slack.
#[derive(Debug)]
pub struct Surface {
    pub(super) api: Arc<Api>,
    pub(super) me: Identity,
    /// Whether posts bear a `client_msg_id`. It is not documented for apps: Slack may know a repetition by it, pass over it, or refuse it.
    with_client_id: AtomicBool,
}

impl Surface {
    /// Writes as the bot that `me` describes.
    pub fn new(api: Arc<Api>, me: &AuthTest) -> Self {
        Self { api, me: me.identity(), with_client_id: AtomicBool::new(true) }
    }

    /// Posts under a `client_msg_id`, until Slack refuses one: then the post is repeated without, and so are all others.
    async fn post_once(&self, place: &str, args: Value, key: OwedId, urgency: Urgency) -> Result<Value, ApiError> {
        if !self.with_client_id.load(Ordering::Relaxed) {
            return self.call(POST, place, args, urgency).await;
        }
        let mut known = args.clone();
        known["client_msg_id"] = json!(key.hyphenated());
        match self.call(POST, place, known, urgency).await {
            Err(error) if UNKNOWN_ARGUMENT.contains(&error.code.as_str()) => {}
            Err(error) if error.code.starts_with("duplicate_") => {
                // If the message is not there, whoever posts it again must not be told the same for ever.
                self.with_client_id.store(false, Ordering::Relaxed);
                return Err(error);
            }
            result => return result,
        }
        let result = self.call(POST, place, args, urgency).await;
        // If not, it was another argument that was refused.
        if result.is_ok() && self.with_client_id.swap(false, Ordering::Relaxed) {
            tracing::info!("Slack refuses client_msg_id; messages are posted without one");
        }
        result
    }

    /// A write that is worth waiting for.
    async fn write(&self, method: &'static str, place: &str, args: Value) -> Result<Value, ApiError> {
        self.call(method, place, args, Urgency::Wait).await
    }

    /// A write that is only worth making now.
    async fn show(&self, method: &'static str, place: &str, args: Value) -> Result<Value, ApiError> {
        self.call(method, place, args, Urgency::Now).await
    }

    async fn call(&self, method: &'static str, place: &str, args: Value, urgency: Urgency) -> Result<Value, ApiError> {
        self.api.call(Call { method, encoding: Encoding::Json, place, urgency, args }).await
    }
}

impl Render for Surface {
    /// Only what goes to Slack comes here.
    fn parts(&self, _slack: Markup, markdown: &str) -> Vec<String> {
        markdown::render(markdown, markdown::PART_LIMIT)
    }

    fn shows_whole(&self, _slack: Markup, card: &ApprovalCard) -> bool {
        blocks::shows_whole(card)
    }
}

#[async_trait]
impl SlackWrite for Surface {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        let args = labelled(to, body, label);
        posted(&self.post_once(to.channel.as_str(), args, label.key, Urgency::Wait).await?, POST)
    }

    async fn update(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.write(UPDATE, channel.as_str(), edit(channel, ts, body)).await?;
        Ok(())
    }

    async fn finish(&self, channel: &ChannelId, ts: &Ts, body: &Body, label: &Label) -> Result<(), WriteError> {
        let mut args = edit(channel, ts, body);
        args["metadata"] = metadata(label);
        self.write(UPDATE, channel.as_str(), args).await?;
        Ok(())
    }

    async fn delete(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "ts": ts});
        unless("message_not_found", self.write("chat.delete", channel.as_str(), args).await)
    }

    async fn whisper(&self, to: &Place, user: &UserId, body: &Body) -> Result<(), WriteError> {
        let mut args = message(&to.channel, to.thread.as_ref(), body);
        args["user"] = json!(user);
        self.write("chat.postEphemeral", to.channel.as_str(), args).await?;
        Ok(())
    }

    async fn respond(&self, to: &ReplyUrl, body: &Body) -> Result<(), WriteError> {
        let mut answer = content(body);
        answer["response_type"] = json!("ephemeral");
        // In place of nothing: a press must not replace the message that holds the button.
        answer["replace_original"] = json!(false);
        Ok(self.api.respond(&to.0, &answer).await?)
    }

    async fn mark(&self, channel: &ChannelId, ts: &Ts, mark: Mark, on: bool) -> Result<(), WriteError> {
        let (method, fine) =
            if on { ("reactions.add", "already_reacted") } else { ("reactions.remove", "no_reaction") };
        let args = json!({"channel": channel, "timestamp": ts, "name": emoji(mark)});
        unless(fine, self.show(method, channel.as_str(), args).await)
    }

    async fn create_channel(&self, name: &str, members: &[UserId]) -> Result<ChannelId, WriteError> {
        const METHOD: &str = "conversations.create";
        let answer = self.write(METHOD, "", json!({"name": name, "is_private": true})).await?;
        let id = answer["channel"]["id"].as_str();
        let id = id.ok_or_else(|| ApiError::lost(METHOD, true, "the answer names no channel"))?;
        let users: Vec<&str> = members.iter().map(UserId::as_str).collect();
        let args = json!({"channel": id, "users": users.join(",")});
        let invited = unless("already_in_channel", self.write("conversations.invite", id, args).await);
        if invited.is_err() {
            // Nobody but us would ever see it.
            drop(self.write("conversations.archive", id, json!({"channel": id})).await);
        }
        invited.map(|()| id.into())
    }

    async fn status(&self, to: &Place, text: &str) -> Result<(), WriteError> {
        // Slack's status lines stand in threads.
        let Some(thread) = &to.thread else { return Ok(()) };
        let args = json!({"channel_id": to.channel, "thread_ts": thread, "status": text});
        self.show("assistant.threads.setStatus", thread.as_str(), args).await?;
        Ok(())
    }

    async fn start_stream(&self, to: &ConversationKey, recipient: &UserId, markdown: &str) -> Result<Ts, WriteError> {
        // Slack's streams stand in threads.
        if to.is_channel_wide() {
            return Err(ApiError::from_code("chat.startStream", "channel_type_not_supported", None).into());
        }
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

    async fn start_draft(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        let args = labelled(to, body, label);
        posted(&self.post_once(to.channel.as_str(), args, label.key, Urgency::Now).await?, POST)
    }

    async fn edit_draft(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.show(UPDATE, channel.as_str(), edit(channel, ts, body)).await?;
        Ok(())
    }

    async fn stop_stream(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "ts": ts});
        unless("message_not_in_streaming_state", self.write("chat.stopStream", channel.as_str(), args).await)
    }

    async fn look_back(&self, to: &ConversationKey, since: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError> {
        self.find(to, since, trace).await
    }
}

#[async_trait]
impl Reactions for Surface {
    async fn react(&self, channel: &ChannelId, ts: &Ts, emoji: &str) -> Result<(), WriteError> {
        let args = json!({"channel": channel, "timestamp": ts, "name": emoji});
        unless("already_reacted", self.write("reactions.add", channel.as_str(), args).await)
    }
}

fn emoji(mark: Mark) -> &'static str {
    match mark {
        Mark::Waiting => "hourglass_flowing_sand",
    }
}

/// A result for which the code `fine` means that what was asked for is so already.
fn unless(fine: &str, result: Result<Value, ApiError>) -> Result<(), WriteError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.code == fine => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A message's content. Links are never unfurled: a preview fetches the address, and with it whatever an agent put there.
fn content(body: &Body) -> Value {
    let (text, blocks) = blocks::content(body);
    json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// A message's arguments.
fn message(channel: &ChannelId, thread: Option<&Ts>, body: &Body) -> Value {
    let mut args = content(body);
    args["channel"] = json!(channel);
    if let Some(thread) = thread {
        args["thread_ts"] = json!(thread);
    }
    args
}

/// The arguments of a message that is found again by its label.
fn labelled(to: &Place, body: &Body, label: &Label) -> Value {
    let mut args = message(&to.channel, to.thread.as_ref(), body);
    args["metadata"] = metadata(label);
    args
}

/// The arguments of another form of a message.
fn edit(channel: &ChannelId, ts: &Ts, body: &Body) -> Value {
    let mut args = message(channel, None, body);
    args["ts"] = json!(ts);
    args
}

fn metadata(label: &Label) -> Value {
    let mut payload = json!({KEY: label.key.to_string()});
    match &label.answers {
        Some(Answers::Finally(ts)) => payload[ANSWERS] = json!(ts),
        Some(Answers::Interim(ts)) => payload[ABOUT] = json!(ts),
        None => {}
    }
    json!({"event_type": METADATA, "event_payload": payload})
}

fn chunk(markdown: &str) -> Value {
    json!({"type": "markdown_text", "text": markdown::live(markdown)})
}

fn posted(answer: &Value, method: &'static str) -> Result<Ts, WriteError> {
    let ts = answer["ts"].as_str().map(Ts::from);
    ts.ok_or_else(|| ApiError::lost(method, true, "the answer names no message").into())
}
