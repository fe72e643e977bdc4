//! What a request is told that is not done.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::ports::NotStored;
use crate::session::OpenError;
use crate::store::StoreError;

/// A status with a sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    sentence: String,
    /// Whether it is to be said that no session is connected.
    disconnected: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), disconnected: false }
    }

    pub(super) fn bad_request(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// No session is connected, or not any more.
    pub(super) fn disconnected(sentence: impl Into<String>) -> Self {
        Self { disconnected: true, ..Self::new(StatusCode::CONFLICT, sentence) }
    }

    /// It may work later.
    pub(super) fn unavailable(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.sentence});
        if self.disconnected {
            body["session_connected"] = json!(false);
        }
        let asks_for_token = (self.status == StatusCode::UNAUTHORIZED).then_some([(WWW_AUTHENTICATE, "Bearer")]);
        (self.status, asks_for_token, Json(body)).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "A request to the web chat failed");
        Self::unavailable(format!("{error}; try again"))
    }
}

impl From<NotStored> for Refusal {
    fn from(error: NotStored) -> Self {
        tracing::warn!(%error, "A message of the web chat was not stored");
        Self::unavailable(format!("{error}; send it again under the same id"))
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotFound => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            OpenError::Refused(refused) => Self::bad_request(refused.to_string()),
            OpenError::Occupied | OpenError::TooMany(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ended if ended.is_session_ended() => Self::disconnected(format!("{ended}; start a new one")),
            OpenError::Backend(error) => {
                tracing::warn!(%error, "A session of the web chat could not be brought up");
                Self::unavailable(error.to_string())
            }
            OpenError::Store(error) => error.into(),
        }
    }
}
