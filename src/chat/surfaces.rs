//! Both surfaces behind one set of ports: what belongs to the page goes into its transcript, everything else to Slack.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;

use super::transcript::{Line, Transcript, message_id, thread_of};
use crate::domain::access::OPERATOR;
use crate::domain::conversation::{ConversationKey, Markup, is_web};
use crate::domain::ids::{ChannelId, OwedId, Ts, UserId};
use crate::domain::inbound::{File, ReplyUrl};
use crate::domain::outgoing::{ApprovalCard, Body, Label, Place};
use crate::domain::ports::{
    Answered, Files, Mark, NotFetched, People, Profile, Reactions, Render, Said, SlackRead, SlackWrite, Trace, Upload,
    WriteError, WriteErrorKind,
};
use crate::store::{ChatAuthor, StoreError};

/// Slack and the page.
pub struct Surfaces<S> {
    slack: S,
    transcript: Transcript,
}

impl<S> fmt::Debug for Surfaces<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surfaces").finish_non_exhaustive()
    }
}

impl<S> Surfaces<S> {
    /// The page, whose transcripts are in `transcript`, beside Slack.
    pub(super) fn new(slack: S, transcript: Transcript) -> Self {
        Self { slack, transcript }
    }

    async fn notice(&self, thread: &Ts, body: &Body) -> Result<(), WriteError> {
        let id = message_id(thread, OwedId::new());
        self.transcript
            .add(&id, ChatAuthor::Agent, &Line::Notice(body.clone()))
            .await
            .map_err(|error| failed(&error))
            .map(drop)
    }
}

impl<S: Render> Render for Surfaces<S> {
    fn parts(&self, markup: Markup, markdown: &str) -> Vec<String> {
        match markup {
            Markup::Slack => self.slack.parts(markup, markdown),
            // The page takes messages of any length.
            Markup::Markdown => {
                Some(markdown.trim()).filter(|text| !text.is_empty()).map(Into::into).into_iter().collect()
            }
        }
    }

    fn shows_whole(&self, markup: Markup, card: &ApprovalCard) -> bool {
        match markup {
            Markup::Slack => self.slack.shows_whole(markup, card),
            Markup::Markdown => true,
        }
    }
}

#[async_trait]
impl<S: Files> Files for Surfaces<S> {
    /// On the page nothing can be attached.
    async fn fetch(&self, file: &File, into: &Path, limit: u64) -> Result<(), NotFetched> {
        self.slack.fetch(file, into, limit).await
    }

    async fn upload(&self, to: &Place, file: Upload, label: &Label) -> Result<(), WriteError> {
        if !is_web(&to.channel) {
            return self.slack.upload(to, file, label).await;
        }
        let code = "the web page takes no files".to_owned();
        Err(WriteError { kind: WriteErrorKind::Permanent, call: "upload", code })
    }
}

#[async_trait]
impl<S: SlackWrite> SlackWrite for Surfaces<S> {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        if !is_web(&to.channel) {
            return self.slack.post(to, body, label).await;
        }
        let id = message_id(thread(to)?, label.key);
        self.transcript
            .add(&id, ChatAuthor::Agent, &Line::Message(body.clone()))
            .await
            .map_err(|error| failed(&error))?;
        Ok(id)
    }

    async fn update(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.update(channel, ts, body).await;
        }
        known(ts)?;
        self.transcript.settle(ts, body).await.map_err(|error| failed(&error))
    }

    async fn finish(&self, channel: &ChannelId, ts: &Ts, body: &Body, label: &Label) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.finish(channel, ts, body, label).await;
        }
        self.update(channel, ts, body).await
    }

    async fn delete(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.delete(channel, ts).await;
        }
        self.transcript.withdraw(ts, ChatAuthor::Agent).await.map_err(|error| failed(&error))
    }

    async fn whisper(&self, to: &Place, user: &UserId, body: &Body) -> Result<(), WriteError> {
        if !is_web(&to.channel) {
            return self.slack.whisper(to, user, body).await;
        }
        self.notice(thread(to)?, body).await
    }

    async fn respond(&self, to: &ReplyUrl, body: &Body) -> Result<(), WriteError> {
        match to.web_thread() {
            Some(thread) => self.notice(&thread, body).await,
            None => self.slack.respond(to, body).await,
        }
    }

    async fn mark(&self, channel: &ChannelId, ts: &Ts, mark: Mark, on: bool) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.mark(channel, ts, mark, on).await;
        }
        match mark {
            Mark::Waiting => self.transcript.board.waits(ts, on),
        }
        Ok(())
    }

    async fn create_channel(&self, name: &str, members: &[UserId]) -> Result<ChannelId, WriteError> {
        if members.iter().any(|member| member.as_str() == OPERATOR) {
            return Err(refused(WriteErrorKind::Permanent, "not_in_web_chat"));
        }
        self.slack.create_channel(name, members).await
    }

    async fn status(&self, to: &Place, text: &str) -> Result<(), WriteError> {
        if !is_web(&to.channel) {
            return self.slack.status(to, text).await;
        }
        self.transcript.board.status(thread(to)?, text);
        Ok(())
    }

    async fn start_stream(&self, to: &ConversationKey, recipient: &UserId, markdown: &str) -> Result<Ts, WriteError> {
        if !to.is_web() {
            return self.slack.start_stream(to, recipient, markdown).await;
        }
        let id = message_id(&to.thread, OwedId::new());
        self.transcript.board.start(&to.thread, id.clone(), markdown);
        Ok(id)
    }

    async fn append_stream(&self, channel: &ChannelId, ts: &Ts, markdown: &str) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.append_stream(channel, ts, markdown).await;
        }
        if self.transcript.board.append(ts, markdown) {
            return Ok(());
        }
        Err(refused(WriteErrorKind::StreamUnavailable, "message_not_in_streaming_state"))
    }

    async fn start_draft(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        if !is_web(&to.channel) {
            return self.slack.start_draft(to, body, label).await;
        }
        self.post(to, body, label).await
    }

    async fn edit_draft(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.edit_draft(channel, ts, body).await;
        }
        self.update(channel, ts, body).await
    }

    async fn stop_stream(&self, channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.stop_stream(channel, ts).await;
        }
        // It is shown until its final form comes.
        Ok(())
    }

    async fn look_back(&self, to: &ConversationKey, since: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError> {
        if !to.is_web() {
            return self.slack.look_back(to, since, trace).await;
        }
        // Nothing needs to be looked for: a post that is repeated adds nothing.
        Ok(None)
    }
}

#[async_trait]
impl<S: SlackRead> SlackRead for Surfaces<S> {
    async fn thread(&self, conversation: &ConversationKey, before: &Ts, limit: usize) -> Result<Vec<Said>, WriteError> {
        if !conversation.is_web() {
            return self.slack.thread(conversation, before, limit).await;
        }
        self.transcript.said_before(&conversation.thread, before, limit).await.map_err(|error| failed(&error))
    }

    async fn answered(&self, conversation: &ConversationKey, ts: &Ts) -> Result<Answered, WriteError> {
        if !conversation.is_web() {
            return self.slack.answered(conversation, ts).await;
        }
        // The page has no other memory than the store.
        Ok(Answered::No)
    }

    async fn is_closed(&self, channel: &ChannelId) -> Result<bool, WriteError> {
        if is_web(channel) { Ok(false) } else { self.slack.is_closed(channel).await }
    }
}

#[async_trait]
impl<S: Reactions> Reactions for Surfaces<S> {
    async fn react(&self, channel: &ChannelId, ts: &Ts, emoji: &str) -> Result<(), WriteError> {
        if !is_web(channel) {
            return self.slack.react(channel, ts, emoji).await;
        }
        Err(refused(WriteErrorKind::Permanent, "not_in_web_chat"))
    }
}

#[async_trait]
impl<S: People> People for Surfaces<S> {
    async fn profile(&self, user: &UserId) -> Result<Profile, WriteError> {
        if user.as_str() != OPERATOR {
            return self.slack.profile(user).await;
        }
        let name = "the operator, on the web page".to_owned();
        Ok(Profile { id: user.clone(), name, title: None, time_zone: None, is_bot: false })
    }
}

/// The thread of a place on the page.
fn thread(place: &Place) -> Result<&Ts, WriteError> {
    place.thread.as_ref().ok_or_else(|| refused(WriteErrorKind::Permanent, "no_thread"))
}

fn known(id: &Ts) -> Result<(), WriteError> {
    thread_of(id).map(drop).ok_or_else(|| refused(WriteErrorKind::MessageGone, "message_not_found"))
}

fn refused(kind: WriteErrorKind, code: &str) -> WriteError {
    WriteError { kind, call: "web chat", code: code.to_owned() }
}

/// A line that was not written. Whether it was or not, writing it again adds nothing to it.
fn failed(error: &StoreError) -> WriteError {
    refused(WriteErrorKind::Transient { uncertain: false }, &error.to_string())
}

#[cfg(test)]
mod tests;
