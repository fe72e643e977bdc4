//! Stands between us and a server, and makes of one that behaves one that does not: on request it answers instead of the server, holds an
//! answer back or loses it, puts nonsense between the events, says one of them very often, or breaks their stream off.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hitchline::http_client::{Config, HttpClient, Owner};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A proxy; it stops when it is dropped.
pub(super) struct Proxy {
    world: Arc<World>,
    address: SocketAddr,
    running: tokio::sync::Mutex<Option<(CancellationToken, JoinSet<()>)>>,
}

struct World {
    client: HttpClient,
    state: Mutex<Everything>,
}

struct Everything {
    /// Where the server is.
    server: String,
    /// Every request, as `METHOD /path`, and those that the server has answered.
    asked: Vec<String>,
    answered: Vec<String>,
    /// What happens to the next requests whose line ends so.
    instead: VecDeque<(&'static str, Instead)>,
    events: Events,
    /// How many requests are being held.
    held: usize,
    /// How many events were passed on.
    passed: usize,
    /// Breaks everything off that is on its way.
    over: CancellationToken,
}

/// What happens to a request.
pub(super) enum Instead {
    /// The server does not hear of it; this is the answer.
    Answer(Response),
    /// The server hears of it when this says so, or never.
    Hold(CancellationToken),
    /// The server hears of it, and its answer breaks off.
    Lose,
}

/// What happens to events.
#[derive(Clone)]
pub(super) enum Events {
    /// They pass.
    Pass,
    /// This comes before each.
    Before(Bytes),
    /// This comes before the next.
    Once(Bytes),
    /// One that holds this text comes so often.
    Repeat(&'static str, usize),
    /// The stream breaks off after one that holds this text, once.
    CutAfter(&'static str),
}

impl Proxy {
    pub(super) async fn before(server: &str) -> Self {
        let client = Owner::build(&Config::default(), true).unwrap().lend();
        let state = Everything {
            server: server.to_owned(),
            asked: Vec::new(),
            answered: Vec::new(),
            instead: VecDeque::new(),
            events: Events::Pass,
            held: 0,
            passed: 0,
            over: CancellationToken::new(),
        };
        let world = Arc::new(World { client, state: Mutex::new(state) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Self { world, address: listener.local_addr().unwrap(), running: tokio::sync::Mutex::default() };
        proxy.listen(listener).await;
        proxy
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen, on the port that it had.
    pub(super) async fn up(&self) {
        self.listen(TcpListener::bind(self.address).await.unwrap()).await;
    }

    async fn listen(&self, listener: TcpListener) {
        let stop = CancellationToken::new();
        self.world.state().over = stop.clone();
        let router = Router::new().fallback(pass).with_state(self.world.clone());
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serve.await.unwrap() });
        *self.running.lock().await = Some((stop, tasks));
    }

    /// Stops to listen and breaks everything off.
    pub(super) async fn down(&self) {
        let Some((stop, mut tasks)) = self.running.lock().await.take() else { return };
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap();
    }

    /// Says where the server is now.
    pub(super) fn point_to(&self, server: &str) {
        server.clone_into(&mut self.world.state().server);
    }

    /// Does this with the next request whose `METHOD /path` ends so.
    pub(super) fn next(&self, line: &'static str, instead: Instead) {
        self.world.state().instead.push_back((line, instead));
    }

    /// Answers the next request whose `METHOD /path` ends so in the server's stead.
    pub(super) fn answer(&self, line: &'static str, response: impl IntoResponse) {
        self.next(line, Instead::Answer(response.into_response()));
    }

    pub(super) fn events(&self, events: Events) {
        self.world.state().events = events;
    }

    /// The requests whose line holds this, so far.
    pub(super) fn asked(&self, part: &str) -> usize {
        count(&self.world.state().asked, part)
    }

    /// Those of them that the server has answered.
    pub(super) fn answered(&self, part: &str) -> usize {
        count(&self.world.state().answered, part)
    }

    /// How many requests are held right now: those of which the asker has gone are not.
    pub(super) fn held(&self) -> usize {
        self.world.state().held
    }

    /// How many events were passed on so far.
    pub(super) fn passed(&self) -> usize {
        self.world.state().passed
    }
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

impl World {
    fn state(&self) -> MutexGuard<'_, Everything> {
        self.state.lock().unwrap()
    }
}

/// A request that is held, as long as somebody waits for its answer.
struct Held(Arc<World>);

impl Held {
    fn new(world: &Arc<World>) -> Self {
        world.state().held += 1;
        Self(world.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().held -= 1;
    }
}

async fn pass(State(world): State<Arc<World>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let (instead, over) = {
        let mut state = world.state();
        state.asked.push(line.clone());
        let found = state.instead.iter().position(|(end, _)| line.ends_with(end));
        (found.and_then(|at| state.instead.remove(at)), state.over.clone())
    };
    let is_lost = match instead {
        Some((_, Instead::Answer(response))) => return response,
        Some((_, Instead::Hold(go_on))) => {
            let _held = Held::new(&world);
            tokio::select! {
                () = go_on.cancelled() => {}
                () = over.cancelled() => return StatusCode::BAD_GATEWAY.into_response(),
            }
            false
        }
        Some((_, Instead::Lose)) => true,
        None => false,
    };
    let Some(Ok(response)) = over.run_until_cancelled(ask(&world, request)).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    world.state().answered.push(line);
    if is_lost { (response.status(), broken()).into_response() } else { answer(&world, response, over).await }
}

/// The body of an answer that breaks off.
fn broken() -> Body {
    Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::other("lost"))]))
}

async fn ask(world: &World, request: Request) -> Result<reqwest::Response, reqwest::Error> {
    let (head, body) = request.into_parts();
    let url = format!("{}{}", world.state().server, head.uri);
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let of_hop = [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let mut headers: HeaderMap = head.headers;
    for name in of_hop {
        headers.remove(name);
    }
    world.client.request(head.method, url).headers(headers).body(body).send().await
}

async fn answer(world: &Arc<World>, response: reqwest::Response, over: CancellationToken) -> Response {
    let (status, kind) = (response.status(), response.headers().get(header::CONTENT_TYPE).cloned());
    let is_stream = kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = if is_stream {
        let relay = Relay { world: world.clone(), response, over, rest: Vec::new(), again: None };
        Body::from_stream(stream::unfold(Some(relay), async |relay| relay?.next().await))
    } else {
        over.run_until_cancelled(response.bytes()).await.and_then(Result::ok).map_or_else(broken, Body::from)
    };
    let mut answer = (status, body).into_response();
    if let Some(kind) = kind {
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    answer
}

/// A stream of events on its way.
struct Relay {
    world: Arc<World>,
    response: reqwest::Response,
    over: CancellationToken,
    /// What has come and is no whole event yet.
    rest: Vec<u8>,
    /// An event that comes again so often.
    again: Option<(Bytes, usize)>,
}

/// How many events are passed on at once at the most.
const BATCH: usize = 50;

type Passed = (Result<Bytes, io::Error>, Option<Relay>);

impl Relay {
    async fn next(mut self) -> Option<Passed> {
        if let Some((event, left)) = self.again.take() {
            let now = left.min(BATCH);
            self.again = (left > now).then(|| (event.clone(), left - now));
            self.world.state().passed += now;
            return Some((Ok(event.repeat(now).into()), Some(self)));
        }
        loop {
            if let Some(at) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let after = self.rest.split_off(at + 2);
                let event = Bytes::from(std::mem::replace(&mut self.rest, after));
                return Some(self.pass(event));
            }
            match self.over.clone().run_until_cancelled(self.response.chunk()).await {
                Some(Ok(Some(bytes))) => self.rest.extend_from_slice(&bytes),
                Some(Ok(None)) => return None,
                Some(Err(_)) | None => return Some((Err(io::Error::other("cut")), None)),
            }
        }
    }

    fn pass(mut self, event: Bytes) -> Passed {
        let text = String::from_utf8_lossy(&event).into_owned();
        let world = self.world.clone();
        let mut state = world.state();
        state.passed += 1;
        match state.events.clone() {
            Events::Before(nonsense) => (Ok([nonsense, event].concat().into()), Some(self)),
            Events::Once(nonsense) => {
                state.events = Events::Pass;
                (Ok([nonsense, event].concat().into()), Some(self))
            }
            Events::Repeat(part, times) if text.contains(part) => {
                self.again = Some((event.clone(), times - 1)).filter(|(_, left)| *left > 0);
                (Ok(event), Some(self))
            }
            Events::CutAfter(part) if text.contains(part) => {
                state.events = Events::Pass;
                self.over = CancellationToken::new();
                self.over.cancel();
                self.rest.clear();
                (Ok(event), Some(self))
            }
            _ => (Ok(event), Some(self)),
        }
    }
}
