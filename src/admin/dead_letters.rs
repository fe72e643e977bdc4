//! The operator's view of what was given up: the list, another try, and the end of one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Probes;
use super::sessions::{manager, time};
use crate::store::{self, DeadId, Retried};

/// How many dead letters of each kind a list holds at most.
const LIST: usize = 1_000;

/// Something that was given up, without what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its name: `m12` for a message of somebody, `o34` for one of ours.
    pub id: String,
    /// When it came, or was written.
    pub since: Timestamp,
    /// What it is, such as `message`, `slash command` or `post`.
    pub kind: String,
    /// Where it belongs: team, channel and thread, or `web:` and a name.
    pub conversation: String,
    /// Who asked for it, where that is known.
    pub author: Option<String>,
    /// How often its handling has begun; 0 of what is ours.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
}

impl From<store::DeadLetter> for DeadLetter {
    fn from(letter: store::DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            since: time(letter.since_ms),
            kind: letter.kind.to_owned(),
            conversation: letter.conversation.to_string(),
            author: letter.author.map(|author| author.to_string()),
            attempts: letter.attempts,
            reason: letter.reason,
        }
    }
}

/// A dead letter to which something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub id: String,
}

/// Why nothing was done to a dead letter.
pub(super) enum NotDone {
    /// There is none of this name.
    Unknown(String),
    /// It can't be read, so it can't be tried; with what is wrong.
    Unreadable(String),
    /// No answer of its own.
    NoAnswer(super::sessions::NoAnswer),
}

impl<E: Into<super::sessions::NoAnswer>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::NoAnswer(error.into())
    }
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Unknown(id) => {
                (StatusCode::NOT_FOUND, format!("there is no dead letter `{id}`; `hitchline dlq list` names them"))
            }
            Self::Unreadable(why) => (
                StatusCode::CONFLICT,
                format!("it can't be read ({why}), so it can't be tried; it can only be dropped"),
            ),
            Self::NoAnswer(why) => return why.into_response(),
        };
        (status, why + "\n").into_response()
    }
}

/// `GET /dlq`: the dead letters, the newest first.
pub(super) async fn list(State(probes): State<Probes>) -> Result<Json<Vec<DeadLetter>>, NotDone> {
    let letters = manager(&probes)?.dead_letters(LIST).await?;
    Ok(Json(letters.into_iter().map(DeadLetter::from).collect()))
}

/// `POST /dlq/{id}/retry`: tries one once more.
pub(super) async fn retry(State(probes): State<Probes>, Path(id): Path<String>) -> Result<Json<Named>, NotDone> {
    let letter = parse(&id)?;
    match manager(&probes)?.retry_dead_letter(letter).await? {
        Retried::Unknown => Err(NotDone::Unknown(id)),
        Retried::Unreadable(why) => Err(NotDone::Unreadable(why)),
        Retried::Message(..) | Retried::Outgoing(_) => {
            tracing::info!(id, "An operator has a dead letter tried once more");
            Ok(Json(Named { id }))
        }
    }
}

/// `DELETE /dlq/{id}`: drops one for good.
pub(super) async fn drop_one(State(probes): State<Probes>, Path(id): Path<String>) -> Result<Json<Named>, NotDone> {
    let letter = parse(&id)?;
    if !manager(&probes)?.drop_dead_letter(letter).await? {
        return Err(NotDone::Unknown(id));
    }
    tracing::info!(id, "An operator has dropped a dead letter");
    Ok(Json(Named { id }))
}

fn parse(id: &str) -> Result<DeadId, NotDone> {
    DeadId::parse(id).ok_or_else(|| NotDone::Unknown(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(why: NotDone) -> (u16, String) {
        let response = why.into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn whoever_asks_in_vain_is_told_why() {
        let (status, text) = said(NotDone::Unknown("m9".to_owned())).await;
        assert!(status == 404 && text.contains("`m9`") && text.contains("dlq list"), "{status} {text}");
        let (status, text) = said(NotDone::Unreadable("its form is version 9".to_owned())).await;
        assert!(status == 409 && text.contains("version 9") && text.contains("only be dropped"), "{status} {text}");
        assert_eq!(said(NotDone::NoAnswer(super::super::sessions::NoAnswer::NoPool)).await.0, 503);
        assert!(parse("x1").is_err());
    }
}
