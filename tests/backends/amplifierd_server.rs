//! A server that behaves as amplifierd was recorded: the paths, bodies and events of version 0.1.0, its sticky cancel, its sessions that
//! are put away and resumed. The first word of a prompt says what the turn does; the test says what goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An amplifierd of ours; it stops when it is dropped.
pub(super) struct Amplifierd {
    world: Arc<World>,
    address: SocketAddr,
    running: Option<(CancellationToken, JoinSet<()>)>,
}

struct World {
    state: Mutex<Everything>,
    tasks: Mutex<JoinSet<()>>,
    /// Told when turns that are deaf may end.
    go_on: Notify,
}

#[derive(Default)]
struct Everything {
    sessions: BTreeMap<String, Session>,
    made: u64,
    /// Who listens to a session, and how many events were sent there.
    listeners: Vec<(String, mpsc::UnboundedSender<io::Result<Bytes>>, u64)>,
    /// Every request, as `METHOD /path`.
    asked: Vec<String>,
    /// Answers that are given instead: to the next requests whose line ends so.
    instead: VecDeque<(&'static str, Response)>,
    key: Option<String>,
}

struct Session {
    dir: Value,
    /// Whether the server holds it; else it is only on disk.
    is_live: bool,
    /// Counts how often it was put away: turns of before go on and speak, but no longer to its state.
    life: u64,
    status: &'static str,
    turns: u64,
    used: u64,
    /// Told when the turn is to stop. It stays cancelled.
    cancelled: watch::Sender<bool>,
    transcript: Vec<Value>,
}

impl Amplifierd {
    pub(super) async fn start() -> Self {
        let world = World { state: Mutex::default(), tasks: Mutex::default(), go_on: Notify::new() };
        let mut server = Self { world: Arc::new(world), address: ([127, 0, 0, 1], 0).into(), running: None };
        server.up().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen, on the port that it had.
    pub(super) async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serve = axum::serve(listener, router(&self.world)).with_graceful_shutdown(stop.clone().cancelled_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serve.await.unwrap() });
        self.running = Some((stop, tasks));
    }

    /// Stops to listen and cuts every connection. What it held is on disk.
    pub(super) async fn down(&mut self) {
        let Some((stop, mut tasks)) = self.running.take() else { return };
        stop.cancel();
        self.cut();
        self.world.tasks.lock().unwrap().abort_all();
        self.put_all_away();
        tasks.join_next().await.unwrap().unwrap();
    }

    /// Breaks every stream of events off.
    pub(super) fn cut(&self) {
        for (_, listener, _) in self.world.state().listeners.drain(..) {
            let _ = listener.send(Err(io::Error::other("cut")));
        }
    }

    /// Puts every session away, as a restart does.
    pub(super) fn put_all_away(&self) {
        self.world.state().sessions.values_mut().for_each(Session::put_away);
    }

    /// Forgets every session for good.
    pub(super) fn forget_all(&self) {
        self.world.state().sessions.clear();
    }

    /// Answers the next request whose `METHOD /path` ends so with something else.
    pub(super) fn answer(&self, line: &'static str, response: impl IntoResponse) {
        self.world.state().instead.push_back((line, response.into_response()));
    }

    /// Wants this key from now on.
    pub(super) fn want_key(&self, key: &str) {
        self.world.state().key = Some(key.to_owned());
    }

    /// The requests whose line ends so, so far.
    pub(super) fn asked(&self, end: &str) -> usize {
        self.world.state().asked.iter().filter(|line| line.ends_with(end)).count()
    }

    /// All requests of one kind of thing, in order, without the ids of sessions.
    pub(super) fn lines(&self) -> Vec<String> {
        let state = self.world.state();
        let bare = |line: &String| state.sessions.keys().fold(line.clone(), |line, id| line.replace(id, "ID"));
        state.asked.iter().map(bare).collect()
    }

    /// Sends an event of any kind to whoever listens to the session.
    pub(super) fn send(&self, session: &str, turn: &Value, name: &str, data: &Value) {
        self.world.send(session, turn, name, data);
    }

    /// Lets a turn end that is deaf.
    pub(super) fn go_on(&self) {
        self.world.go_on.notify_one();
    }

    pub(super) fn status(&self, session: &str) -> Option<&'static str> {
        let state = self.world.state();
        state.sessions.get(session).filter(|session| session.is_live).map(|session| session.status)
    }

    /// How many sessions it holds.
    pub(super) fn live(&self) -> usize {
        self.world.state().sessions.values().filter(|session| session.is_live).count()
    }
}

impl Session {
    fn put_away(&mut self) {
        self.is_live = false;
        self.life += 1;
        self.status = "completed";
    }

    fn bring_back(&mut self) {
        if !self.is_live {
            (self.is_live, self.status, self.turns) = (true, "idle", 0);
            self.cancelled = watch::Sender::new(false);
        }
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, Everything> {
        self.state.lock().unwrap()
    }

    fn send(&self, session: &str, turn: &Value, name: &str, data: &Value) {
        let mut state = self.state();
        for (of, listener, sent) in &mut state.listeners {
            if of == session {
                *sent += 1;
                let event = json!({
                    "event": name, "data": data, "session_id": session, "timestamp": "2026-11-21T02:21:23+00:00",
                    "correlation_id": turn, "sequence": *sent,
                });
                let _ = listener.send(Ok(format!("id: {sent}\nevent: {name}\ndata: {event}\n\n").into()));
            }
        }
    }
}

fn router(world: &Arc<World>) -> Router {
    Router::new()
        .route("/ready", get(async || Json(json!({"ready": true}))))
        .route("/events", get(events))
        .route("/sessions", get(list).post(create))
        .route("/sessions/{id}", get(show).delete(put_away))
        .route("/sessions/{id}/execute/stream", post(execute))
        .route("/sessions/{id}/cancel", post(cancel))
        .route("/sessions/{id}/resume", post(resume))
        .route("/sessions/{id}/transcript", get(transcript))
        .layer(from_fn_with_state(world.clone(), gate))
        .with_state(world.clone())
}

type Shared = State<Arc<World>>;

/// Notes each request, and answers those itself that are to go wrong.
async fn gate(State(world): Shared, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let instead = {
        let mut state = world.state();
        state.asked.push(line.clone());
        let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if state.key.as_ref().is_some_and(|key| sent != Some(&format!("Bearer {key}"))) {
            let body = json!({"detail": "Invalid or missing API key"});
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        }
        let found = state.instead.iter().position(|(end, _)| line.ends_with(end));
        found.and_then(|at| state.instead.remove(at))
    };
    match instead {
        Some((_, response)) => response,
        None => next.run(request).await,
    }
}

/// The body of an error, as its routes have it.
pub(super) fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let uri = format!("https://amplifier.dev/errors/{kind}");
    let problem = json!({"type": uri, "title": kind, "status": status.as_u16(), "detail": detail});
    (status, Json(json!({"detail": problem}))).into_response()
}

fn not_found(id: &str) -> Response {
    problem(StatusCode::NOT_FOUND, "session-not-found", &format!("Session '{id}' not found"))
}

async fn events(State(world): Shared, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    let _ = sender.send(Ok(Bytes::from_static(b": keepalive\n\n")));
    world.state().listeners.push((query.get("session").cloned().unwrap_or_default(), sender, 0));
    let body = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}

fn summary(id: &str, session: &Session) -> Value {
    let used = format!("2026-11-21T02:21:23.{:06}+00:00", session.used);
    json!({"session_id": id, "status": session.status, "bundle": "mini", "created_at": used, "last_activity": used,
        "parent_session_id": null, "stale": false})
}

async fn list(State(world): Shared) -> Json<Value> {
    let state = world.state();
    let mut sessions: Vec<Value> = state.sessions.iter().map(|(id, session)| summary(id, session)).collect();
    let child = json!({"session_id": "child", "status": "idle", "parent_session_id": "somebody"});
    sessions.push(child);
    Json(json!({"total": sessions.len(), "sessions": sessions}))
}

async fn create(State(world): Shared, Json(body): Json<Value>) -> Response {
    if body.get("bundle_name").is_some_and(|name| name != "mini") {
        return problem(StatusCode::BAD_GATEWAY, "bundle-load-error", "Failed to create session: no such bundle");
    }
    let mut state = world.state();
    state.made += 1;
    let (id, used) = (format!("8238c577-{:04}", state.made), state.made);
    let session = Session {
        dir: body["working_dir"].clone(),
        is_live: true,
        life: 0,
        status: "idle",
        turns: 0,
        used,
        cancelled: watch::Sender::new(false),
        transcript: Vec::new(),
    };
    let made = json!({"session_id": id, "status": "idle", "bundle_name": "mini", "working_dir": session.dir});
    state.sessions.insert(id, session);
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn show(State(world): Shared, Path(id): Path<String>) -> Response {
    match world.state().sessions.get(&id).filter(|session| session.is_live) {
        Some(session) => {
            let mut shown = summary(&id, session);
            shown["working_dir"] = session.dir.clone();
            Json(shown).into_response()
        }
        None => not_found(&id),
    }
}

async fn put_away(State(world): Shared, Path(id): Path<String>) -> Response {
    match world.state().sessions.get_mut(&id).filter(|session| session.is_live) {
        Some(session) => {
            session.put_away();
            StatusCode::NO_CONTENT.into_response()
        }
        None => not_found(&id),
    }
}

async fn resume(State(world): Shared, Path(id): Path<String>) -> Response {
    match world.state().sessions.get_mut(&id) {
        Some(session) => {
            session.bring_back();
            Json(json!({"session_id": id, "status": session.status, "working_dir": session.dir, "resumed": true}))
                .into_response()
        }
        None => not_found(&id),
    }
}

async fn transcript(State(world): Shared, Path(id): Path<String>) -> Response {
    match world.state().sessions.get(&id).filter(|session| !session.transcript.is_empty()) {
        Some(session) => {
            Json(json!({"session_id": id, "transcript": session.transcript, "revision": "1:1"})).into_response()
        }
        None => not_found(&id),
    }
}

async fn cancel(State(world): Shared, Path(id): Path<String>) -> Response {
    match world.state().sessions.get(&id).filter(|session| session.is_live) {
        Some(session) => {
            session.cancelled.send_replace(true);
            Json(json!({"state": "immediate", "running_tools": null})).into_response()
        }
        None => not_found(&id),
    }
}

async fn execute(State(world): Shared, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let turn = {
        let mut state = world.state();
        state.made += 1;
        let used = state.made;
        let Some(session) = state.sessions.get_mut(&id).filter(|session| session.is_live) else {
            return not_found(&id);
        };
        if session.status == "executing" {
            return problem(StatusCode::CONFLICT, "execution-in-progress", "Session is already executing");
        }
        (session.status, session.turns, session.used) = ("executing", session.turns + 1, used);
        Turn {
            world: world.clone(),
            name: json!(format!("prompt_{id}_{}", session.turns)),
            life: session.life,
            cancelled: session.cancelled.subscribe(),
            session: id.clone(),
        }
    };
    let accepted = json!({"correlation_id": turn.name, "session_id": id, "status": "accepted"});
    let prompt = body["prompt"].as_str().unwrap_or_default().to_owned();
    world.tasks.lock().unwrap().spawn(turn.run(prompt));
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

/// A turn that runs.
struct Turn {
    world: Arc<World>,
    session: String,
    name: Value,
    life: u64,
    cancelled: watch::Receiver<bool>,
}

impl Turn {
    async fn run(mut self, prompt: String) {
        self.record("user", &prompt);
        let status = match prompt.split_whitespace().next() {
            Some("never") => return,
            // Its sessions answer nothing more once they were cancelled.
            _ if *self.cancelled.borrow() => self.submitted(&prompt, "cancelled"),
            _ => {
                self.submitted(&prompt, "success");
                self.act(&prompt).await
            }
        };
        self.say("orchestrator:complete", &json!({"status": status, "turn_count": 1}));
        self.say("prompt:complete", &json!({"status": status, "turn_count": 1}));
        let mut state = self.world.state();
        let session = state.sessions.get_mut(&self.session).filter(|session| session.life == self.life);
        if let Some(session) = session {
            session.status = if status == "error" { "failed" } else { "idle" };
        }
    }

    fn submitted(&self, prompt: &str, status: &'static str) -> &'static str {
        self.say("prompt:submit", &json!({"prompt": prompt}));
        self.say("execution:start", &json!({"prompt": prompt}));
        self.say("provider:request", &json!({"provider": "mini", "iteration": 1}));
        status
    }

    /// Does what the prompt's first word says; returns how it ended.
    async fn act(&mut self, prompt: &str) -> &'static str {
        match prompt.split_whitespace().next().unwrap_or_default() {
            "wait" => {
                self.until_cancelled().await;
                return "cancelled";
            }
            // It goes on with what it is at, cancelled or not.
            "deaf" => {
                self.world.go_on.notified().await;
                self.text("late");
                return "cancelled";
            }
            "rate" => return self.fail("RateLimitError", "rate limited"),
            "auth" => return self.fail("AuthenticationError", "bad key"),
            "boom" => return self.fail("RuntimeError", "kaboom"),
            "empty" => {}
            "tool" => {
                self.text("Let me read.");
                let tool =
                    json!({"tool_name": "read", "tool_call_id": "tc_1", "tool_input": {"path": "/etc/hostname"}});
                self.say("tool:pre", &tool);
                let mut done = tool;
                done["result"] = json!({"success": true, "output": "a name", "error": null});
                self.say("tool:post", &done);
                self.text("It is a name.");
            }
            "count" => {
                let from: u64 = prompt.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(0);
                (from..from + 20).for_each(|n| self.text(&format!("{n} ")));
            }
            "many" => (0..500).for_each(|n| self.text(&format!("{n} "))),
            "long" => {
                self.text("before ");
                self.text(&"x".repeat(2 << 20));
                self.text(" after");
            }
            // Its stream breaks between two blocks.
            "cut" => {
                self.text("one ");
                self.cut();
                self.text("two ");
                self.text("three");
            }
            _ => {
                self.say(
                    "content_block:start",
                    &json!({"block_type": "thinking", "block_index": 0, "total_blocks": 2}),
                );
                self.say(
                    "content_block:end",
                    &json!({"block": {"type": "thinking", "thinking": "hmm"}, "block_index": 0}),
                );
                self.text(&format!("echo: {prompt}"));
            }
        }
        "success"
    }

    async fn until_cancelled(&mut self) {
        // A session that is forgotten cancels nothing any more.
        let _gone = self.cancelled.wait_for(|cancelled| *cancelled).await;
    }

    fn fail(&self, kind: &str, said: &str) -> &'static str {
        self.say(
            "provider:error",
            &json!({"error": {"type": kind, "msg": said}, "retryable": true, "status_code": null}),
        );
        "error"
    }

    fn text(&self, text: &str) {
        self.record("assistant", text);
        self.say("content_block:start", &json!({"block_type": "text", "block_index": 1, "total_blocks": 2}));
        self.say("content_block:end", &json!({"block": {"type": "text", "text": text}, "block_index": 1}));
    }

    fn record(&self, role: &str, text: &str) {
        let mut state = self.world.state();
        if let Some(session) = state.sessions.get_mut(&self.session) {
            session.transcript.push(json!({"role": role, "content": text}));
        }
    }

    fn cut(&self) {
        for (_, listener, _) in self.world.state().listeners.drain(..) {
            let _ = listener.send(Err(io::Error::other("cut")));
        }
    }

    fn say(&self, name: &str, data: &Value) {
        self.world.send(&self.session, &self.name, name, data);
    }
}
