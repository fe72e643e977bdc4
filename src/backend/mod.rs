//! The agents: one trait, and an implementation for each kind.
//!
//! A backend starts sessions and restores them; a session takes one prompt at a time and answers with a stream of events of which
//! the last is always, and exactly once, [`TurnEvent::End`]. Implementations never repeat what may have been done already, and never
//! decide what an error means for a mapping: they report it by kind.

pub mod acp;
pub mod amplifierd;
pub mod config;
pub mod echo;
mod environment;
pub mod error;
mod handle;
mod http;
pub mod opencode;
mod orphans;
mod proc;
mod stray;
pub mod tmux;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::agent::{AgentEvent, Decision, Offers, Prompt, ToolAccess};
use crate::domain::ids::{RequestId, SessionId};
use crate::domain::session::{BackendRef, SessionRecord};
use crate::http_client::HttpClient;
use crate::scope::Scope;
use error::BackendError;

pub use stray::Swept;

/// How many events of a turn may wait for their reader. When it is full the session waits, and with it, through the gate on its
/// bytes, the agent.
pub const TURN_CAPACITY: usize = 256;

/// A kind of agent, as configured under one name.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Starts a session. One that fails or is dropped half-way leaves nothing behind.
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError>;

    /// Brings back a session that this process does not hold, without repeating its history.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] when this kind can't; [`BackendError::Unknown`] when it could but does not know the session.
    async fn restore(&self, session: &BackendRef, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError>;

    /// The sessions that the agent knows and could restore, the one used last first. It starts none, and leaves nothing behind.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] when this kind of agent has no list.
    async fn list(&self, query: ListQuery) -> Result<Vec<Listed>, BackendError>;

    /// Whether something still runs for a session of an earlier run of the daemon, so that it should be brought back without being asked.
    fn outlived(&self, _session: &BackendRef) -> bool {
        false
    }

    /// Lets go of what all sessions share. Safe to call twice; every wait is cut to the deadline.
    async fn shutdown(&self, deadline: Instant);
}

/// One session of an agent.
#[async_trait]
pub trait Session: Send + Sync + Debug {
    /// The backend's own name for it, by which it may be restored.
    fn backend_ref(&self) -> BackendRef;

    /// Whether it can still take a prompt without being restored.
    fn is_alive(&self) -> bool;

    /// Starts a turn.
    ///
    /// # Errors
    /// Only when the turn was not accepted; [`BackendError::Busy`] when one is running.
    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError>;

    /// Asks the running turn to stop; it then ends as [`Outcome::Cancelled`]. Fine when none runs.
    async fn cancel(&self) -> Result<(), BackendError>;

    /// Answers a permission request.
    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered;

    /// What the agent offers beside answering, as far as it has said so yet.
    fn offers(&self) -> Offers;

    /// Sets one of the agent's own options. A session that is restored may have forgotten it.
    ///
    /// # Errors
    /// [`BackendError::Rejected`] when the agent has no such option, or the option no such value; [`BackendError::Busy`] when a turn
    /// runs and the agent can't take it meanwhile.
    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError>;

    /// Stops everything that runs for the session, by the deadline at the latest. It may be restored later. Safe to call twice.
    async fn release(&self, deadline: Instant) -> Result<(), BackendError>;

    /// Lets the session go because the daemon stops: what may outlive the daemon (`on_shutdown = "detach"`) is left running, and whatever
    /// may not is released. Safe to call twice.
    async fn detach(&self, deadline: Instant) -> Result<(), BackendError> {
        self.release(deadline).await
    }

    /// The command by which a person of this machine sees the agent at work and may type to it, where there is one.
    fn attach(&self) -> Option<String> {
        None
    }

    /// Ends the session for good, and everything that runs for it, by the deadline at the latest. Safe to call twice, and after it was
    /// released.
    async fn end(&self, deadline: Instant) -> Result<(), BackendError>;
}

/// With what a session starts.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// Our id of it.
    pub session: SessionId,
    /// The directory in which the agent works; absolute.
    pub working_dir: PathBuf,
    /// When it must be ready.
    pub deadline: Instant,
    /// How its agent reaches its own conversation; nothing when there are no tools, and passed over by kinds that can't pass it on.
    pub tools: Option<ToolAccess>,
}

/// Which sessions are listed.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// How many at the most.
    pub limit: usize,
    /// The directory in which an agent is started to be asked; absolute. Sessions of other directories are listed too.
    pub working_dir: PathBuf,
    /// When the list must be there.
    pub deadline: Instant,
}

/// A session that an agent knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// By this it is restored.
    pub backend_ref: BackendRef,
    /// The directory in which it works, where the agent says so.
    pub working_dir: Option<PathBuf>,
    /// What the agent calls it.
    pub title: Option<String>,
    /// When it was last used, in milliseconds since 1970.
    pub updated_ms: Option<i64>,
}

/// What a turn yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEvent {
    /// The agent said or did something.
    Agent(AgentEvent),
    /// The turn is over. Always the last event, exactly once.
    End(Outcome),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The agent finished.
    Completed,
    /// It was cancelled.
    Cancelled,
    /// The agent declined to answer.
    Refused,
    /// The answer is cut short by the agent's own limit.
    Truncated,
    /// It failed.
    Failed(BackendError),
}

/// Whether an answer reached a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It did.
    Applied,
    /// The request was answered or withdrawn before, or never existed.
    NotWaiting,
}

/// The receiving end of a turn.
#[derive(Debug)]
pub struct TurnStream {
    events: mpsc::Receiver<TurnEvent>,
    ended: bool,
}

impl TurnStream {
    /// A stream and the end into which its session writes; see [`TURN_CAPACITY`].
    pub fn channel() -> (mpsc::Sender<TurnEvent>, Self) {
        let (sender, events) = mpsc::channel(TURN_CAPACITY);
        (sender, Self { events, ended: false })
    }

    /// The next event; `None` after the end. A session that lets go of its stream without an end has crashed: that is reported as the
    /// end, so that every turn has one. Cancel safe.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().await.unwrap_or_else(|| TurnEvent::End(Outcome::Failed(lost())));
        self.ended = matches!(event, TurnEvent::End(_));
        Some(event)
    }
}

fn lost() -> BackendError {
    BackendError::Crashed { exit: "its connection was lost".to_owned(), stderr: String::new() }
}

/// The configured backends, by name.
pub type Backends = BTreeMap<String, Arc<dyn Backend>>;

/// What backends are built with.
#[derive(Debug, Clone)]
pub struct BackendParts {
    /// The time.
    pub clock: Clock,
    /// The owner of their tasks.
    pub scope: Scope,
    /// The one HTTP client, lent to those whose agents are behind a server.
    pub http: HttpClient,
    /// Our own environment, of which agents get an allow-listed part.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Names this run of the daemon; every process of an agent carries it as `HITCHLINE_RUN_ID`.
    pub run_id: String,
    /// The state directory; each kind keeps what it has there in a folder of its own.
    pub state_dir: PathBuf,
}

/// Makes this process the parent of all that its agents' processes leave behind when they end. To be called once, before the first
/// agent is started; [`reap_orphans`] then has to run.
pub fn adopt_orphans() {
    orphans::adopt();
}

/// Sees, for as long as it runs, to processes that agents left behind and that died by themselves.
pub async fn reap_orphans(clock: Clock) {
    orphans::reap(clock).await;
}

/// Kills every process that a run of the daemon started or left behind, except those of the sessions that are [`outliving`]. Blocks for
/// a few milliseconds, a second at the most.
pub fn kill_leftovers(run_id: &str, outliving: &BTreeSet<String>) -> Swept {
    let swept = stray::sweep(run_id, outliving);
    if swept.killed > 0 {
        tracing::warn!(run.id = run_id, processes = swept.killed, "A run left agents behind; they are killed");
    }
    swept
}

/// The marks of those recorded sessions that may run on while no daemon does.
pub fn outliving(backends: &BTreeMap<String, config::Config>, recorded: &[SessionRecord]) -> BTreeSet<String> {
    let mark = |record: &SessionRecord| match backends.get(&record.backend)? {
        config::Config::Tmux(config) => tmux::outliving(config, record.backend_ref.as_ref()?),
        config::Config::Echo(_)
        | config::Config::Acp(_)
        | config::Config::Amplifierd(_)
        | config::Config::Opencode(_) => None,
    };
    recorded.iter().filter_map(mark).collect()
}

/// Builds the backend that is configured as `[backends.NAME]`. It starts nothing yet.
pub fn build(name: &str, config: &config::Config, parts: &BackendParts) -> Arc<dyn Backend> {
    tracing::debug!(backend = name, "A backend is configured");
    match config {
        config::Config::Echo(config::Echo {}) => Arc::new(echo::EchoBackend::new(parts)),
        config::Config::Acp(acp) => Arc::new(acp::AcpBackend::new(acp.clone(), parts)),
        config::Config::Amplifierd(server) => amplifierd::backend(server, parts),
        config::Config::Opencode(server) => opencode::backend(server, parts),
        config::Config::Tmux(tmux) => Arc::new(tmux::TmuxBackend::new(tmux.clone(), parts)),
    }
}
