//! What the person at the page does: messages, stops, presses. All of it goes the way of what comes from Slack.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::routes::Payload;
use super::transcript::{Line, message_id, thread_of};
use super::{Chat, Desk};
use crate::domain::access::OPERATOR;
use crate::domain::command::{self, Entry, Reading};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::inbound::{Author, Button, ChannelKind, Click, Inbound, Message, ReplyUrl, What};
use crate::domain::outgoing::Body;
use crate::domain::ports::Receipt;
use crate::domain::session::SessionRecord;
use crate::store::ChatAuthor;

/// What is said where no session is connected.
const DISCONNECTED: &str = "no session is connected; start one with POST /api/chat/session";
/// How long it is waited for a sign of a message's turn. An agent that has lost its session says so to the first prompt only.
const FIRST_SIGN: Duration = Duration::from_millis(300);
/// How long a client's own id of a message may be.
const ID: usize = 64;

/// A message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    text: String,
    /// The client's own id for it. Sent again under the same id it counts once.
    id: Option<String>,
}

/// A press of a button.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pressed {
    message_id: String,
    press: Button,
}

/// What was taken.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Ts>,
}

/// `POST /api/chat/messages`. It is on disk when this answers.
pub(super) async fn send(
    State(chat): State<Chat>,
    Payload(written): Payload<Written>,
) -> Result<(StatusCode, Json<Taken>), Refusal> {
    let Written { text, id } = written;
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("`text` is missing: write what the agent is to be told"));
    }
    let name = id.map_or_else(|| Ok(uuid::Uuid::now_v7().simple().to_string()), valid_id)?;
    let desk = chat.desk()?;
    let record = chat.connected().await?.ok_or_else(|| Refusal::disconnected(DISCONNECTED))?;
    let record = chat.bring_up(&desk, record.id).await?;
    let id = message_id(&record.conversation.thread, name);
    let (delivering, taken) = (chat.clone(), Some(id.clone()));
    let delivered = async move { delivering.deliver_message(&desk, &record, &id, text).await };
    let delivered = chat.0.parts.scope.to_its_end("web chat request", delivered).await;
    let broken = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "something broke; the log says what");
    delivered.ok_or_else(broken)??;
    Ok((StatusCode::ACCEPTED, Json(Taken { message_id: taken })))
}

/// `POST /api/chat/stop`: stops the running turn, and nothing else.
pub(super) async fn stop(State(chat): State<Chat>) -> Result<(StatusCode, Json<Taken>), Refusal> {
    let desk = chat.desk()?;
    let record = chat.connected().await?.ok_or_else(|| Refusal::disconnected(DISCONNECTED))?;
    let thread = record.conversation.thread;
    desk.deliver.deliver(inbound(once(), What::Stop { thread })).await?;
    Ok((StatusCode::ACCEPTED, Json(Taken { message_id: None })))
}

/// `POST /api/chat/press`.
pub(super) async fn press(
    State(chat): State<Chat>,
    Payload(pressed): Payload<Pressed>,
) -> Result<(StatusCode, Json<Taken>), Refusal> {
    let desk = chat.desk()?;
    let record = chat.connected().await?.ok_or_else(|| Refusal::disconnected(DISCONNECTED))?;
    let (message, thread) = (Ts::from(pressed.message_id), record.conversation.thread);
    if thread_of(&message).is_none_or(|of| of != thread) {
        return Err(Refusal::bad_request("`message_id` is no message of the connected session"));
    }
    let reply = Some(ReplyUrl::web(&thread));
    let click = Click { message, ephemeral: false, thread: Some(thread), button: pressed.press, reply };
    desk.deliver.deliver(inbound(once(), What::Click(click))).await?;
    Ok((StatusCode::ACCEPTED, Json(Taken { message_id: None })))
}

impl Chat {
    async fn deliver_message(&self, desk: &Desk, record: &SessionRecord, id: &Ts, text: String) -> Result<(), Refusal> {
        let (transcript, thread) = (&self.0.transcript, &record.conversation.thread);
        // Before it is delivered, for the answer stands behind it.
        let body = Body::Text(text.clone());
        let is_new = transcript.add(id, ChatAuthor::Web, &Line::Message(body.clone())).await?;
        let mut changes = transcript.board.watch();
        let before = transcript.board.look(thread).newest;
        let said = text.clone();
        let message = Message { ts: id.clone(), thread: Some(thread.clone()), text, mention: false, files: Vec::new() };
        let key = format!("web/{id}");
        match desk.deliver.deliver(inbound(key, What::Message(message))).await {
            Ok(Receipt::Duplicate) => return Ok(()),
            Ok(Receipt::Stored) if is_new => {}
            // An earlier try came to nothing, and so its line may have been withdrawn.
            Ok(Receipt::Stored) => transcript.show_again(id, ChatAuthor::Web, body).await?,
            Ok(Receipt::Ignored) => {
                transcript.withdraw(id, ChatAuthor::Web).await?;
                return Err(Refusal::disconnected("the session has just ended; the message was not passed on"));
            }
            Err(not_stored) => {
                transcript.withdraw(id, ChatAuthor::Web).await?;
                return Err(not_stored.into());
            }
        }
        if !matches!(command::read(&said, Entry::InSession), Reading::Prompt(_)) {
            return Ok(());
        }
        let sign = changes.wait_for(|()| {
            let view = transcript.board.look(thread);
            view.is_busy() || view.newest > before
        });
        if self.0.parts.clock.timeout(FIRST_SIGN, sign).await.is_ok() && self.is_dead(record).await? {
            return Err(Refusal::disconnected("the agent has lost the session, and it has ended; start a new one"));
        }
        Ok(())
    }

    /// Whether a session was found dead when its agent was given a message.
    async fn is_dead(&self, record: &SessionRecord) -> Result<bool, Refusal> {
        Ok(self.0.parts.store.session_in(&record.conversation).await?.is_none())
    }
}

/// Something that the person at the page did, and under which key it counts once.
fn inbound(key: String, what: What) -> Inbound {
    let ConversationKey { team, channel, .. } = ConversationKey::web("any");
    let author = Author { user: OPERATOR.into(), team: None, bot: None };
    Inbound { keys: vec![key], team, channel, channel_kind: ChannelKind::Web, author, what }
}

/// A key that nothing else has.
fn once() -> String {
    format!("web/{}", uuid::Uuid::now_v7())
}

fn valid_id(id: String) -> Result<String, Refusal> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=ID).contains(&id.len()) && id.bytes().all(known) {
        return Ok(id);
    }
    Err(Refusal::bad_request(format!("`id` is made of 1 to {ID} letters, digits, `-` and `_`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        for good in ["a", "0198-abc_D", &"x".repeat(ID)] {
            assert!(valid_id(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "ä", &"x".repeat(ID + 1)] {
            assert!(valid_id(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
