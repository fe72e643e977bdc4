//! The paths, and what every request has in common.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::refusal::Refusal;
use super::{Chat, access, events, messages, page, sessions};

/// How many bytes a request's body may have.
const BODY: usize = 1024 * 1024;

/// The page and its API.
pub(super) fn router(chat: Chat) -> Router {
    let identify = from_fn_with_state(chat.clone(), access::identify);
    let admit = from_fn_with_state(chat.clone(), access::admit);
    let api = Router::new()
        .route("/session", get(sessions::show).post(sessions::create))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}/resume", post(sessions::resume))
        .route("/messages", post(messages::send))
        .route("/stop", post(messages::stop))
        .route("/press", post(messages::press))
        .route("/end", post(sessions::end))
        .route("/events", get(events::watch))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path"))
        .layer(identify)
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .layer(DefaultBodyLimit::max(BODY));
    Router::new()
        .route(page::PATH, get(page::show))
        .nest("/api/chat", api)
        .layer(admit)
        .layer(map_response(in_plain_sight))
        .with_state(chat)
}

/// What is answered is what it says it is.
async fn in_plain_sight(mut response: Response) -> Response {
    let nosniff = axum::http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(axum::http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// `POST /api/chat/login`.
async fn log_in(
    State(chat): State<Chat>,
    headers: HeaderMap,
    Payload(Login { token }): Payload<Login>,
) -> Result<Response, Refusal> {
    if !chat.knows(&token) {
        chat.wrong_token().await;
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this is not the token of http.token_file"));
    }
    Ok((AppendHeaders(chat.cookie(&headers).map(|cookie| (SET_COOKIE, cookie))), Json(json!({}))).into_response())
}

/// `POST /api/chat/logout`.
async fn log_out(headers: HeaderMap) -> Response {
    ([(SET_COOKIE, access::no_cookie(&headers))], Json(json!({}))).into_response()
}

/// A request's body, as JSON. Nothing is an empty object.
pub(super) struct Payload<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Payload<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state).await.map_err(|refused| match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request may have {BODY} bytes"))
            }
            _ => Refusal::bad_request("the request was cut off"),
        })?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body };
        let read = serde_json::from_slice(body);
        read.map(Self).map_err(|error| Refusal::bad_request(format!("this is not the JSON that is wanted: {error}")))
    }
}
