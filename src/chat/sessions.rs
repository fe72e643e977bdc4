//! Sessions over HTTP: create, resume, end, list, and which one is connected.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::routes::Payload;
use super::view::{Connection, Listed};
use super::{Chat, Desk, on_the_page};
use crate::domain::access::Gate;
use crate::domain::command::NewArgs;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::session::{SessionRecord, SessionStatus};

/// Among how many sessions with the same beginning of their ids one of the page's is looked for.
const NAMESAKES: usize = 20;

/// What a new session is to be. Whatever is left out is as configured.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    agent: Option<String>,
    dir: Option<String>,
    /// What it is about, for lists.
    description: Option<String>,
}

/// The sessions.
#[derive(Debug, Serialize)]
pub(super) struct Sessions {
    sessions: Vec<Listed>,
}

/// `GET /api/chat/session`.
pub(super) async fn show(State(chat): State<Chat>) -> Result<Json<Connection>, Refusal> {
    chat.desk()?;
    let connected = chat.connected().await?;
    Ok(Json(Connection::to(connected.as_ref().map(Into::into))))
}

/// `POST /api/chat/session`. The one that was connected is set aside, and stays as it is.
pub(super) async fn create(
    State(chat): State<Chat>,
    Payload(wanted): Payload<Wanted>,
) -> Result<(StatusCode, Json<Connection>), Refusal> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let asked =
        NewArgs { dir: given(wanted.dir), agent: given(wanted.agent), text: wanted.description.unwrap_or_default() };
    let desk = chat.desk()?;
    let key = ConversationKey::web(&uuid::Uuid::now_v7().simple().to_string());
    let record = desk.manager.open(&key, &asked, &Gate::operator()).await?;
    chat.connect(record.id);
    Ok((StatusCode::CREATED, Json(Connection::to(Some((&record).into())))))
}

/// `POST /api/chat/end`. Twice is fine.
pub(super) async fn end(State(chat): State<Chat>) -> Result<Json<Connection>, Refusal> {
    let desk = chat.desk()?;
    if let Some(record) = chat.connected().await? {
        desk.manager.end(record.id).await?;
    }
    Ok(Json(Connection::to(None)))
}

/// `GET /api/chat/sessions`.
pub(super) async fn list(State(chat): State<Chat>) -> Result<Json<Sessions>, Refusal> {
    let all = chat.desk()?.manager.sessions(on_the_page()).await?;
    let connected = *chat.0.connected.borrow();
    let listed = all.iter().map(|session| Listed::new(session, connected == Some(session.record.id)));
    Ok(Json(Sessions { sessions: listed.collect() }))
}

/// `POST /api/chat/sessions/{id}/resume`; the beginning of an id suffices.
pub(super) async fn resume(State(chat): State<Chat>, Path(id): Path<String>) -> Result<Json<Connection>, Refusal> {
    let desk = chat.desk()?;
    let id = chat.named(&id).await?;
    let record = chat.bring_up(&desk, id).await?;
    chat.connect(record.id);
    Ok(Json(Connection::to(Some((&record).into()))))
}

impl Chat {
    /// Where requests are dealt with, while there is such a place.
    pub(super) fn desk(&self) -> Result<Desk, Refusal> {
        let closed =
            || Refusal::unavailable("Hitchline is starting or stopping, or does not reach Slack yet; try again");
        self.0.desk.borrow().clone().ok_or_else(closed)
    }

    /// The connected session, unless it has ended or has been moved to Slack.
    pub(super) async fn connected(&self) -> Result<Option<SessionRecord>, Refusal> {
        let id = *self.0.connected.borrow();
        let Some(id) = id else { return Ok(None) };
        let record = self.0.parts.store.session(id).await?;
        let is_here = |record: &SessionRecord| record.status == SessionStatus::Active && record.conversation.is_web();
        Ok(record.filter(is_here))
    }

    fn connect(&self, id: SessionId) {
        self.0.connected.send_replace(Some(id));
    }

    /// Sees to it that a session runs, and that it has not been moved to Slack meanwhile.
    pub(super) async fn bring_up(&self, desk: &Desk, id: SessionId) -> Result<SessionRecord, Refusal> {
        let record = desk.manager.resume(id).await?;
        let moved = || Refusal::disconnected("the session has been moved to Slack; start another one");
        Some(record).filter(|record| record.conversation.is_web()).ok_or_else(moved)
    }

    /// The session on the page whose id begins like this.
    async fn named(&self, start: &str) -> Result<SessionId, Refusal> {
        let not_found = |sentence: &str| Refusal::new(StatusCode::NOT_FOUND, sentence);
        let named = self.0.parts.store.session_by_prefix(start, NAMESAKES).await?;
        let mut named = named.into_iter().filter(|record| record.conversation.is_web());
        let found = named.next().ok_or_else(|| not_found("there is no such session"))?;
        if named.next().is_some() {
            return Err(not_found("more than one session is called so; give more of the id"));
        }
        Ok(found.id)
    }
}
