//! `/api/<method>`: the Web API.

mod assistant;
mod auth;
mod chat;
mod conversations;
mod files;
mod reactions;
mod streams;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::calls::Answer;
use super::core::{Core, lock};
use super::faults::{Fault, Place};
use super::ids::{APP_TOKEN, BOT_TOKEN};
use super::request::{Args, Unreadable, token};
use super::server::CutLine;

/// What a method is given.
#[derive(Debug)]
struct Call<'a> {
    core: &'a Core,
    args: &'a Args,
}

/// Fields of an `ok: true` answer, or what is wrong.
type Reply = Result<Value, Failure>;

/// An `ok: false` answer: Slack's name of the error and further fields.
#[derive(Debug, PartialEq)]
struct Failure {
    error: String,
    more: Value,
}

impl From<&str> for Failure {
    fn from(error: &str) -> Self {
        Self { error: error.to_owned(), more: json!({}) }
    }
}

/// How a call is answered.
#[derive(Debug)]
struct Outcome {
    status: StatusCode,
    answer: Answer,
    body: Body,
    after: After,
}

#[derive(Debug)]
enum Body {
    Json(Value),
    Html,
    RetryAfter(u64),
}

/// What comes between the effect of a call and its answer.
#[derive(Debug, PartialEq, Eq)]
enum After {
    Nothing,
    Pause(Duration),
    Cut,
}

/// Answers one call.
pub(super) async fn call(
    State(core): State<Arc<Core>>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
    Extension(line): Extension<CutLine>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (args, readable) = match Args::read(query.as_deref(), &headers, &body) {
        Ok(args) => (args, Ok(())),
        Err(Unreadable(error)) => (Args::default(), Err(Failure::from(error))),
    };
    let outcome = readable.map_or_else(failed, |()| outcome(&core, &method, &headers, &args));
    let Outcome { status, answer, body, after } = outcome;
    lock(&core.calls).add(&method, core.clock.wall_ms(), args.0, answer, status.as_u16());
    match after {
        After::Nothing => {}
        After::Pause(pause) => core.clock.sleep(pause).await,
        After::Cut => match line.cut().await {},
    }
    let mut response = respond(status, body);
    if let Some(date) = date(core.clock.wall_ms()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// The time of an answer, by the clock of this server.
fn date(wall_ms: i64) -> Option<HeaderValue> {
    let now = jiff::Timestamp::from_millisecond(wall_ms).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    HeaderValue::from_str(&text).ok()
}

fn outcome(core: &Core, method: &str, headers: &HeaderMap, args: &Args) -> Outcome {
    let channel = args.text("channel").or_else(|| args.text("channel_id"));
    let after = match core.strike(&[Place::Call], method, channel) {
        Some(Fault::Slow { ms }) => After::Pause(Duration::from_millis(ms)),
        Some(Fault::LostReply) => After::Cut,
        Some(Fault::Http500) => return plain(StatusCode::INTERNAL_SERVER_ERROR, "http_500", Body::Html),
        Some(Fault::Http429 { retry_after }) => {
            return plain(StatusCode::TOO_MANY_REQUESTS, "ratelimited", Body::RetryAfter(retry_after));
        }
        Some(Fault::ApiError { error }) => return failed(Failure { error, more: json!({}) }),
        Some(Fault::StreamUnsupported) => return failed("channel_type_not_supported".into()),
        Some(Fault::StoppedByUser) => {
            streams::stopped_by_user(core, args);
            return failed("stopped_by_user".into());
        }
        Some(_) | None => After::Nothing,
    };
    let reply = authorize(method, token(headers, args)).and_then(|()| dispatch(method, &Call { core, args }));
    Outcome { after, ..reply.map_or_else(failed, succeeded) }
}

fn authorize(method: &str, token: Option<&str>) -> Result<(), Failure> {
    let wanted = if method.starts_with("apps.") { APP_TOKEN } else { BOT_TOKEN };
    match token {
        _ if method == "api.test" => Ok(()),
        None => Err("not_authed".into()),
        Some(token) if token == wanted => Ok(()),
        Some(BOT_TOKEN | APP_TOKEN) => Err("not_allowed_token_type".into()),
        Some(_) => Err("invalid_auth".into()),
    }
}

fn dispatch(method: &str, call: &Call<'_>) -> Reply {
    match method {
        "api.test" => Ok(json!({"args": call.args.0})),
        "apps.connections.open" => Ok(auth::open_connection(call)),
        "auth.test" => Ok(auth::test(call)),
        "bots.info" => auth::bot(call),
        "team.info" => Ok(auth::team()),
        "chat.postMessage" => chat::post(call),
        "chat.postEphemeral" => chat::post_ephemeral(call),
        "chat.update" => chat::update(call),
        "chat.delete" => chat::delete(call),
        "chat.getPermalink" => chat::permalink(call),
        "chat.startStream" => streams::start(call),
        "chat.appendStream" => streams::append(call),
        "chat.stopStream" => streams::stop(call),
        "reactions.add" => reactions::change(call, true),
        "reactions.remove" => reactions::change(call, false),
        "reactions.get" => reactions::get(call),
        "users.info" => users::info(call),
        "users.list" => Ok(users::list(call)),
        "users.lookupByEmail" => users::by_email(call),
        "users.conversations" => conversations::list(call, true),
        _ if method.starts_with("files.") => files::dispatch(method, call),
        _ if method.starts_with("conversations.") => conversations::dispatch(method, call),
        _ if method.starts_with("assistant.") || method.starts_with("agents.") => assistant::dispatch(method, call),
        _ => Err(unknown(method)),
    }
}

fn unknown(method: &str) -> Failure {
    Failure { error: "unknown_method".to_owned(), more: json!({"req_method": method}) }
}

fn succeeded(mut fields: Value) -> Outcome {
    fields["ok"] = true.into();
    let ts = fields["ts"].as_str().or_else(|| fields["message_ts"].as_str()).map(str::to_owned);
    let answer = Answer { ok: true, error: None, ts };
    Outcome { status: StatusCode::OK, answer, body: Body::Json(fields), after: After::Nothing }
}

fn failed(failure: Failure) -> Outcome {
    let Failure { error, more: mut fields } = failure;
    fields["ok"] = false.into();
    fields["error"] = error.as_str().into();
    Outcome { body: Body::Json(fields), ..plain(StatusCode::OK, &error, Body::Html) }
}

fn plain(status: StatusCode, error: &str, body: Body) -> Outcome {
    let answer = Answer { error: Some(error.to_owned()), ..Answer::default() };
    Outcome { status, answer, body, after: After::Nothing }
}

fn respond(status: StatusCode, body: Body) -> Response {
    let json_type = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    match body {
        Body::Json(fields) => (status, json_type, slack_headers(), fields.to_string()).into_response(),
        Body::Html => {
            (status, Html("<!doctype html><title>Error</title><h1>Something went wrong</h1>")).into_response()
        }
        Body::RetryAfter(seconds) => {
            let retry = [(header::RETRY_AFTER, seconds.to_string())];
            (status, retry, Json(json!({"ok": false, "error": "ratelimited"}))).into_response()
        }
    }
}

fn slack_headers() -> [(HeaderName, String); 3] {
    let scopes = "app_mentions:read,assistant:write,channels:history,channels:join,channels:manage,channels:read,chat:write,\
                  commands,connections:write,files:read,files:write,groups:history,groups:read,groups:write,im:history,im:read,im:write,\
                  mpim:history,mpim:read,reactions:read,reactions:write,team:read,users:read,users:read.email";
    [
        (HeaderName::from_static("x-oauth-scopes"), scopes.to_owned()),
        (HeaderName::from_static("x-accepted-oauth-scopes"), String::new()),
        (HeaderName::from_static("x-slack-req-id"), super::ids::uuid()),
    ]
}

impl Call<'_> {
    /// An argument that must be there.
    fn required(&self, name: &str) -> Result<&str, Failure> {
        self.args.text(name).ok_or_else(|| Failure {
            error: "invalid_arguments".to_owned(),
            more: json!({"response_metadata": {"messages": [format!("[ERROR] missing required field: {name}")]}}),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_opens_its_own_methods() {
        let cases = [
            ("auth.test", Some(BOT_TOKEN), Ok(())),
            ("apps.connections.open", Some(APP_TOKEN), Ok(())),
            ("apps.connections.open", Some(BOT_TOKEN), Err("not_allowed_token_type")),
            ("auth.test", Some(APP_TOKEN), Err("not_allowed_token_type")),
            ("auth.test", Some("xoxb-other"), Err("invalid_auth")),
            ("auth.test", None, Err("not_authed")),
            ("api.test", None, Ok(())),
        ];
        for (method, token, expected) in cases {
            assert_eq!(authorize(method, token), expected.map_err(Failure::from), "{method} {token:?}");
        }
    }

    #[test]
    fn an_unknown_method_is_named() {
        let Outcome { body: Body::Json(body), status, .. } = failed(unknown("files.fold")) else { panic!("no JSON") };
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, json!({"ok": false, "error": "unknown_method", "req_method": "files.fold"}));
    }
}
