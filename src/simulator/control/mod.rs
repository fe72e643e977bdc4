//! `/sim/`: what people do in the workspace, what tests look at, and what goes wrong.

mod inspect;
mod interact;
mod people;
mod trouble;
mod watch;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::core::Core;
use super::files;
use super::world::{Channel, User, World};

/// The routes of the control API.
pub(super) fn routes() -> Router<Arc<Core>> {
    Router::new()
        .route("/sim/state", get(inspect::state))
        .route("/sim/messages", get(inspect::messages).post(people::post))
        .route("/sim/calls", get(inspect::calls))
        .route("/sim/envelopes", get(inspect::envelopes))
        .route("/sim/acks", get(inspect::acks))
        .route("/sim/connections", get(inspect::connections))
        .route("/sim/wait", get(watch::wait))
        .route("/sim/events", get(watch::events))
        .route("/sim/files", get(files::list).post(people::add_file).layer(DefaultBodyLimit::max(files::LARGEST)))
        .route("/sim/files/{id}", get(files::shown))
        .route("/sim/edit", post(people::edit))
        .route("/sim/delete", post(people::delete))
        .route("/sim/react", post(people::react))
        .route("/sim/users", post(people::add_user))
        .route("/sim/channels", post(people::add_channel))
        .route("/sim/click", post(interact::click))
        .route("/sim/command", post(interact::command))
        .route("/sim/stop", post(interact::stop))
        .route("/sim/personality", get(trouble::personality).post(trouble::change_personality))
        .route("/sim/faults", post(trouble::order).delete(trouble::clear))
        .route("/sim/inject", post(trouble::inject))
}

/// A request that can't be done, in a sentence.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    error: String,
}

type Answer<T> = Result<Json<T>, Refused>;

/// A JSON body; what is wrong with it is said in JSON too.
#[derive(Debug)]
struct Body<T>(T);

/// A query; what is wrong with it is said in JSON too.
#[derive(Debug)]
struct Query<T>(T);

#[derive(Debug, Serialize)]
struct Done {
    ok: bool,
}

const DONE: Json<Done> = Json(Done { ok: true });

impl Refused {
    fn bad(error: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error.into() }
    }

    fn missing(what: &str, id: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::NOT_FOUND, error: format!("there is no {what} {id}") }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Core>> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, core: &Arc<Core>) -> Result<Self, Refused> {
        let refused = |rejection: JsonRejection| Refused { status: rejection.status(), error: rejection.body_text() };
        Json::from_request(request, core).await.map(|Json(body)| Self(body)).map_err(refused)
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Core>> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, Refused> {
        let refused = |rejection: QueryRejection| Refused { status: rejection.status(), error: rejection.body_text() };
        let query = axum::extract::Query::from_request_parts(parts, core).await;
        query.map(|axum::extract::Query(query)| Self(query)).map_err(refused)
    }
}

fn user<'w>(world: &'w World, id: &str) -> Result<&'w User, Refused> {
    world.user(id).ok_or_else(|| Refused::missing("user", id))
}

fn channel<'w>(world: &'w World, id: &str) -> Result<&'w Channel, Refused> {
    world.channel(id).ok_or_else(|| Refused::missing("channel", id))
}
