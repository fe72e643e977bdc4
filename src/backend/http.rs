//! Agents behind an HTTP server: what all such servers have in common.
//!
//! A server speaks a [`Dialect`]: which paths, bodies and events. Everything else is here: requests and their errors (`api`,
//! `failure`), a stream of events (`sse`), a session that runs one turn at a time (`session`), and the turn itself, which brings its
//! prompt to the server (`delivery`), listens (`line`), and ends once (`turn`).
//!
//! A prompt is sent again only while it is certain that the server did not take it: no connection was made, or it answered that it is
//! busy or not ready. From its acceptance on, a turn whose stream breaks is never begun anew: its events are joined again, and what was
//! missed is read from the server's own record of the session.

mod api;
mod delivery;
mod failure;
mod line;
mod session;
mod sse;
mod turn;

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use self::api::{Api, EventStream, Request, SignIn};
pub(super) use self::failure::{Failure, shown};
use self::session::HttpSession;
use super::error::{BackendError, Phase};
use super::{Backend, BackendParts, ListQuery, Listed, Outcome, Session, StartSpec};
use crate::backoff::Backoff;
use crate::domain::agent::{AgentEvent, Decision, Offers};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;
use crate::scope::OnCrash;

/// The delays between attempts to make, or to bring back, a session while its server is not ready.
const OPENING: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long giving back a session may take that came too late.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// What a kind of server says and understands.
#[async_trait]
pub(super) trait Dialect: Send + Sync + Debug + 'static {
    /// What people call the server.
    fn server(&self) -> &'static str;

    /// The server's names for the error that a session is not known.
    fn gone(&self) -> &'static [&'static str];

    /// Whether this can be the name of a session.
    fn is_name(&self, id: &str) -> bool;

    /// Makes a session that works in `dir`.
    async fn create(&self, dir: &Path) -> Result<Opened, Failure>;

    /// Brings back a session that the server may hold or have put away; of one that it holds, nothing changes.
    async fn resume(&self, id: &str, dir: &Path) -> Result<Opened, Failure>;

    /// The sessions that the server knows, the newest first, without those that have `ended`.
    async fn list(&self, query: &ListQuery, ended: &Ended) -> Result<Vec<Listed>, Failure>;

    /// Opens the stream of a session's events.
    async fn events(&self, place: &Place) -> Result<EventStream, Failure>;

    /// Where a session's record ends now, by which a prompt is told from an earlier one that reads the same: people say "go on" more than
    /// once. `null` where that is not known.
    async fn mark(&self, place: &Place) -> Value;

    /// Hands a prompt over, once. `chosen` are the options that a person has set, and the record ended at `mark`. Returns who understands
    /// the turn's events.
    async fn submit(
        &self,
        place: &Place,
        text: &str,
        chosen: &[(String, String)],
        mark: &Value,
    ) -> Result<Box<dyn Reader>, Failure>;

    /// What the server has on record of a session, for [`Reader::compare`].
    async fn record(&self, place: &Place) -> Result<Value, Failure>;

    /// Whether a turn runs in a session.
    async fn is_running(&self, place: &Place) -> Result<bool, Failure>;

    /// Makes a session usable again after a turn was cancelled in it.
    async fn renew(&self, place: &Place) -> Result<(), Failure>;

    /// Asks the running turn to stop.
    async fn cancel(&self, place: &Place) -> Result<(), Failure>;

    /// Answers a permission request.
    async fn decide(&self, place: &Place, request: &RequestId, decision: &Decision) -> Result<(), Failure>;

    /// Lets the server put a session away. It can be resumed.
    async fn release(&self, place: &Place) -> Result<(), Failure>;

    /// Ends a session.
    async fn end(&self, place: &Place) -> Result<(), Failure>;
}

/// Understands one turn's events: pure, and tolerant of what is not known.
pub(super) trait Reader: Send {
    /// What one event means.
    fn read(&mut self, event: &Value) -> Vec<Heard>;

    /// From here on, events may be missing.
    fn cut(&mut self);

    /// Whether nothing is missing that only the record knows.
    fn is_whole(&self) -> bool;

    /// What the record says beyond what was heard. Unless the turn's end is known already (`is_over`), it also says whether the turn has
    /// ended. Where no record could be read, it is `null`.
    fn compare(&mut self, record: &Value, is_over: bool) -> Vec<Heard>;

    /// How a turn ended of which the server says this, given all that was heard.
    fn verdict(&self, outcome: Outcome) -> Outcome {
        outcome
    }
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// The turn has begun.
    Began,
    /// The agent said or did something.
    Agent(AgentEvent),
    /// The turn is about to end so; some servers don't say more.
    Ending(Outcome),
    /// The turn is over.
    Over(Outcome),
    /// The turn may be over: the record knows.
    Unsure,
    /// Nobody knows what becomes of the turn.
    Lost(BackendError, Condition),
}

/// What must be done before a session takes its next prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    Fresh,
    /// An earlier turn may still run, or have left it unusable: see [`Dialect::renew`].
    Spent,
    /// The server does not hold it any more: see [`Dialect::resume`].
    PutAway,
}

/// A session, as its server finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The server's id of it.
    pub(super) id: String,
    /// The directory in which it works, in the server's words.
    pub(super) dir: PathBuf,
}

/// A session that is ready for prompts.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) place: Place,
    pub(super) offers: Offers,
}

/// The sessions that were ended, by the server's ids. They are never brought back, although the server could. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended(Arc<Mutex<HashSet<String>>>);

impl Ended {
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Notes that a session has ended; returns whether that is new.
    fn add(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }
}

/// Agents behind a server, as configured under one name.
#[derive(Debug)]
struct HttpBackend(Arc<Shared>);

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    dialect: Box<dyn Dialect>,
    parts: BackendParts,
    ended: Ended,
    /// Cancelled when nothing may run any more.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The backend of a server that speaks `dialect`. It asks nothing yet.
pub(super) fn backend(dialect: Box<dyn Dialect>, parts: &BackendParts) -> Arc<dyn Backend> {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    Arc::new(HttpBackend(Arc::new(Shared { dialect, parts: parts.clone(), ended: Ended::default(), stop, tasks })))
}

#[async_trait]
impl Backend for HttpBackend {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.open(None, spec).await
    }

    async fn restore(&self, session: &BackendRef, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        if self.0.ended.has(&session.0) {
            return Err(BackendError::Ended);
        }
        if !self.0.dialect.is_name(&session.0) {
            return Err(BackendError::Unknown);
        }
        self.open(Some(session.0.clone()), spec).await
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        let shared = &self.0;
        shared.ensure_runs()?;
        let clock = &shared.parts.clock;
        let after = query.deadline.saturating_duration_since(clock.now());
        let listed = clock.timeout_at(query.deadline, shared.dialect.list(&query, &shared.ended)).await;
        let listed = listed.map_err(|_late| BackendError::Timeout { phase: Phase::List, after })?;
        listed.map_err(|failure| shared.error(&failure))
    }

    async fn shutdown(&self, deadline: Instant) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if self.0.parts.clock.timeout_at(deadline, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(server = self.0.dialect.server(), "Not everything that asked a server ended in time");
        }
    }
}

impl HttpBackend {
    /// Makes a session, or brings back an `earlier` one. It is made by a task of its own: whoever wants it may stop waiting, and what
    /// comes too late is given back to the server.
    async fn open(&self, earlier: Option<String>, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let shared = &self.0;
        shared.ensure_runs()?;
        let (hand_over, opened) = oneshot::channel();
        let after = spec.deadline.saturating_duration_since(shared.parts.clock.now());
        let deadline = spec.deadline;
        shared.spawn("http session", shared.clone().hand_over(earlier, spec, hand_over));
        let late = BackendError::Timeout { phase: Phase::Create, after };
        let opened = shared.parts.clock.timeout_at(deadline, opened).await.map_err(|_late| late)?;
        let opened = opened.map_err(|_gone| BackendError::ShuttingDown)??;
        Ok(Arc::new(HttpSession::new(opened, shared.clone())))
    }
}

impl Shared {
    async fn hand_over(
        self: Arc<Self>,
        earlier: Option<String>,
        spec: StartSpec,
        to: oneshot::Sender<Result<Opened, BackendError>>,
    ) {
        let opened = self.stop.run_until_cancelled(self.open(earlier.as_deref(), &spec)).await;
        let Err(Ok(late)) = to.send(opened.unwrap_or(Err(BackendError::ShuttingDown))) else { return };
        let given_back = async {
            match earlier {
                None => self.dialect.end(&late.place).await,
                Some(_) => self.dialect.release(&late.place).await,
            }
        };
        if !matches!(self.parts.clock.timeout(GIVING_BACK, given_back).await, Ok(Ok(()))) {
            tracing::warn!(server = self.dialect.server(), "A session came too late and could not be given back");
        }
    }

    /// Asks for a session until the server is ready to give one, or the time is over.
    async fn open(&self, earlier: Option<&str>, spec: &StartSpec) -> Result<Opened, BackendError> {
        let mut backoff = Backoff::new(OPENING.0, OPENING.1);
        let mut chance = fastrand::Rng::new();
        loop {
            let opened = match earlier {
                None => self.dialect.create(&spec.working_dir).await,
                Some(id) => self.dialect.resume(id, &spec.working_dir).await,
            };
            let failure = match opened {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            let pause = failure.passes_after().map(|named| named.max(backoff.next(&mut chance)));
            match pause.filter(|pause| self.parts.clock.now() + *pause < spec.deadline) {
                Some(pause) => self.parts.clock.sleep(pause).await,
                None => return Err(self.error(&failure)),
            }
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.parts.scope.spawn(name, OnCrash::Log, self.tasks.track_future(task));
    }

    fn error(&self, failure: &Failure) -> BackendError {
        failure.error(self.dialect.server(), self.dialect.gone())
    }

    fn is_gone(&self, failure: &Failure) -> bool {
        failure.is_gone(self.dialect.gone())
    }

    fn ensure_runs(&self) -> Result<(), BackendError> {
        if self.stop.is_cancelled() { Err(BackendError::ShuttingDown) } else { Ok(()) }
    }
}
