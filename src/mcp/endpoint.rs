//! The endpoint: who may come in, then the protocol, which a library speaks.
//!
//! Newer clients (from protocol version 2026-07-28 on) have no sessions, and by default older ones get none either: what a request may do
//! follows from its token alone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::grants::Holder;
use super::sessions::{self, Bound};
use super::tools::{ALL, Call, Described};
use super::{Mcp, PATH, STDIO_PATH};
use crate::domain::ids::GrantId;

/// The most bytes of a request.
const BODY: usize = 1024 * 1024;
/// How long a session that is being made waits for its client to introduce itself.
const BEGIN: Duration = Duration::from_mins(1);
/// How often a client that wants to know hears that its call goes on: below the minute after which clients give up.
const PROGRESS: Duration = Duration::from_secs(15);
/// How long a call waits for what its agent said before: that comes on another way, and is to stand above what the call shows.
const HEAD_START: Duration = Duration::from_millis(50);
/// The header in which older clients name their session.
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// What agents are told of the server.
const INSTRUCTIONS: &str = "Tools for the conversation in which you answer. They always act on this conversation.";

/// The endpoint's routes.
pub(super) fn router(mcp: &Mcp) -> Router {
    let library = Arc::new(library(mcp));
    let threshold = Threshold { mcp: mcp.clone(), bound: Arc::default(), library: library.clone() };
    let service = |sessions: bool| {
        let handler = Handler { mcp: mcp.clone() };
        (move || Ok(handler.clone()), config(mcp, sessions))
    };
    let (factory, config) = service(false);
    let stateless = StreamableHttpService::new(factory, Arc::new(NeverSessionManager::default()), config);
    let router = Router::new().route_service(STDIO_PATH, stateless.clone());
    let router = if mcp.0.parts.sessions {
        let (factory, config) = service(true);
        router.route_service(PATH, StreamableHttpService::new(factory, library, config))
    } else {
        router.route_service(PATH, stateless)
    };
    router.layer(from_fn_with_state(threshold, admit))
}

fn library(mcp: &Mcp) -> LocalSessionManager {
    let mut config = SessionConfig::default();
    config.keep_alive = Some(mcp.0.parts.idle);
    config.init_timeout = Some(BEGIN);
    let mut library = LocalSessionManager::default();
    library.session_config = config;
    library
}

fn config(mcp: &Mcp, sessions: bool) -> StreamableHttpServerConfig {
    let ip = mcp.0.parts.address.ip();
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), ip.to_string()];
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(sessions)
        .with_json_response(true)
        .with_allowed_hosts(hosts)
        // No page has any business here: whatever names an origin is refused.
        .enforce_origin_validation()
        .with_max_request_body_bytes(BODY)
        .with_cancellation_token(mcp.0.parts.close.clone())
}

/// Where everybody shows their token.
#[derive(Clone)]
struct Threshold {
    mcp: Mcp,
    bound: Arc<Bound>,
    library: Arc<LocalSessionManager>,
}

/// Lets in whoever has a token that is good, and notes who that is. An id of a session that is not theirs is as good as none.
async fn admit(State(threshold): State<Threshold>, mut request: Request, next: Next) -> Response {
    let Threshold { mcp, bound, library } = threshold;
    let grants = &mcp.0.grants;
    let Some(holder) = bearer(request.headers()).and_then(|token| grants.find(token)) else {
        return unauthorized();
    };
    let with_sessions = mcp.0.parts.sessions && request.uri().path() == PATH;
    let named = session_id(request.headers()).filter(|_| with_sessions);
    if named.as_ref().is_some_and(|id| !bound.belongs(id, holder.grant)) {
        return (StatusCode::NOT_FOUND, "there is no such session; initialize a new one\n").into_response();
    }
    if !with_sessions {
        request = match heed(&mcp, holder.grant, request).await {
            Ok(request) => request,
            Err(refusal) => return refusal,
        };
    }
    request.extensions_mut().insert(holder);
    let response = next.run(request).await;
    match (named, session_id(response.headers())) {
        (Some(named), _) if response.status() == StatusCode::NOT_FOUND => bound.forget(&named),
        (None, Some(begun)) => sessions::close(&library, bound.note(&begun, holder.grant, grants)).await,
        _ => {}
    }
    response
}

/// Looks whether a request takes a call back: without sessions the library passes over that.
async fn heed(mcp: &Mcp, grant: GrantId, request: Request) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY).await.map_err(|_too_large| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    mcp.0.waiting.heed(grant, &body);
    Ok(Request::from_parts(head, body.into()))
}

fn unauthorized() -> Response {
    let sentence = "this takes the token of a session that lives, as `Authorization: Bearer …`\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], sentence).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn session_id(headers: &HeaderMap) -> Option<String> {
    headers.get(SESSION_ID)?.to_str().ok().map(ToOwned::to_owned)
}

/// Answers requests; the library speaks the protocol.
#[derive(Clone)]
struct Handler {
    mcp: Mcp,
}

impl Handler {
    /// Calls a tool, on behalf of whoever sent the request.
    async fn call(&self, holder: Holder, request: CallToolRequestParams) -> Result<String, String> {
        let parts = &self.mcp.0.parts;
        let counted = self.mcp.0.grants.count(holder.grant, parts.clock.now());
        counted.map_err(|wait| format!("too many calls at once; wait {} s", wait.as_secs() + 1))?;
        let call = Call::read(&request.name, request.arguments)?;
        let desk = self.mcp.0.desk.borrow().clone().ok_or("Hitchline is starting or stopping; try again later")?;
        let name = call.name();
        tracing::info!(session.id = %holder.session, tool = name, "An agent calls a tool");
        if call.shows() {
            parts.clock.sleep(HEAD_START).await;
        }
        let _place = match call {
            Call::Upload(_) => Some(self.mcp.0.uploads.acquire().await),
            _ => None,
        };
        let done = desk.call(holder.session, call).await;
        count(name, done.is_ok());
        done.map_err(|failed| failed.0)
    }
}

fn count(tool: &'static str, done: bool) {
    let outcome = if done { "done" } else { "failed" };
    metrics::counter!("hitchline_tool_calls_total", "tool" => tool, "outcome" => outcome).increment(1);
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("hitchline", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(ALL.iter().map(listed).collect()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        ALL.iter().find(|tool| tool.name == name).map(listed)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let head = context.extensions.get::<Head>();
        let Some(holder) = head.and_then(|head| head.extensions.get::<Holder>()).copied() else {
            return Err(ErrorData::internal_error("the request lost its token on the way", None));
        };
        let given_up = self.mcp.0.waiting.note(holder.grant, context.id.clone());
        let mut calling = pin!(self.call(holder, request));
        let clock = &self.mcp.0.parts.clock;
        let mut beats = 0;
        let called = loop {
            tokio::select! {
                called = &mut calling => break called,
                // Nobody waits for it any more: a question to a person is withdrawn.
                () = context.ct.cancelled() => break Err("the call was cancelled".to_owned()),
                () = given_up.notified() => break Err("the call was cancelled".to_owned()),
                () = clock.sleep(PROGRESS) => {
                    beats += 1;
                    tell_progress(&context, f64::from(beats)).await;
                }
            }
        };
        let result = match called {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }
}

/// Tells a client that asked for it that its call goes on.
async fn tell_progress(context: &RequestContext<RoleServer>, progress: f64) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let progress = ProgressNotificationParam::new(token, progress).with_message("waiting");
    // Whoever hung up is noticed by the library.
    let _gone = context.peer.notify_progress(progress).await;
}

fn listed(tool: &Described) -> Tool {
    let Described { name, description, schema, only_reads } = tool;
    // What it changes is Slack's, which is outside of the agent's world; nothing is destroyed.
    let annotations = ToolAnnotations::new().read_only(*only_reads).destructive(false).open_world(true);
    Tool::new(*name, *description, schema.clone()).with_annotations(annotations)
}
