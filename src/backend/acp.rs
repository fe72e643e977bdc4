//! Agents that speak the Agent Client Protocol, version 1, over their standard streams: one process for each session, or for several.
//!
//! An agent is a process with a connection to it (`agent`); it has places for sessions (`host`). A session was made over the connection
//! (`session`), hears what is said of it (`board`, `desk`), and has a turn that runs in it (`turn`). `greeting` makes the session, and lists those that there are; `offers` keeps what the agent
//! offers beside answering. Only `connection` knows the protocol's crate.

mod agent;
mod blocks;
mod board;
mod breaker;
mod classify;
mod connection;
mod convert;
mod desk;
mod gate;
mod greeting;
mod host;
mod line;
mod offers;
mod process;
mod quirks;
mod session;
mod tools;
mod turn;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::agent::RunningAgent;
use self::board::Board;
use self::breaker::{Admission, Breaker, Death};
use self::greeting::{Greeting, Handshake, Opening};
use self::host::{Host, Place};
use self::process::Process;
use self::quirks::Quirks;
use self::session::AcpSession;
use super::config::{self, Acp};
use super::environment::Given;
use super::error::{BackendError, Phase};
use super::stray;
use super::{Backend, BackendParts, ListQuery, Listed, Session, StartSpec};
use crate::clock::Clock;
use crate::domain::session::BackendRef;

/// Agents that speak ACP, as configured under one name.
#[derive(Debug)]
pub struct AcpBackend {
    config: Acp,
    shared: Arc<Shared>,
    /// The processes that may have places left.
    hosts: tokio::sync::Mutex<Vec<Weak<Host>>>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    parts: BackendParts,
    /// The sessions that were ended, by the agent's ids. They are never brought back, although the agent could.
    ended: Mutex<HashSet<String>>,
    /// The crashes of its agents.
    breaker: Mutex<Breaker>,
    /// Cancelled when every agent must go.
    stop: CancellationToken,
    /// The agents that run.
    agents: TaskTracker,
}

impl AcpBackend {
    /// A backend without sessions. It starts nothing yet.
    pub fn new(config: Acp, parts: &BackendParts) -> Self {
        let shared = Shared {
            parts: parts.clone(),
            ended: Mutex::default(),
            breaker: Mutex::default(),
            stop: CancellationToken::new(),
            agents: TaskTracker::new(),
        };
        Self { config, shared: Arc::new(shared), hosts: tokio::sync::Mutex::default() }
    }

    /// Makes, or brings back, a session by the deadline, in a process that is started for it or that has a place left. Whatever goes
    /// wrong, nothing of it is left when that is said; only whoever drops this does not wait for that.
    async fn open(&self, earlier: Option<&BackendRef>, spec: &StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let limit = self.limit(spec.deadline, Phase::Create);
        let (host, place) = match self.config.process {
            config::Process::PerSession => self.host(&limit, &spec.working_dir, 1).await?,
            config::Process::Shared => self.shared_host(&limit, &spec.working_dir).await?,
        };
        let tools = spec.tools.clone().filter(|_| self.config.tools);
        let opening = Opening { earlier: earlier.cloned(), dir: spec.working_dir.clone(), tools };
        match limit.keep(host.seat(place, opening, &self.shared.parts.scope)).await {
            Ok(seat) => Ok(Arc::new(AcpSession::new(seat, self.shared.clone()))),
            Err(error) => {
                host.give_up(limit.clock).await;
                Err(error)
            }
        }
    }

    /// A new process with so many places, of which one is taken.
    async fn host(&self, limit: &Limit<'_>, dir: &Path, size: u32) -> Result<(Arc<Host>, Place), BackendError> {
        let board = Arc::new(Board::default());
        let (agent, handshake) = self.launch(limit, dir, board.clone()).await?;
        let host = Arc::new(Host::new(agent, handshake, board, size));
        match host.place() {
            Some(place) => Ok((host, place)),
            // It has died meanwhile.
            None => Err(host.agent.gone().await),
        }
    }

    /// A process that has a place left, or a new one.
    async fn shared_host(&self, limit: &Limit<'_>, dir: &Path) -> Result<(Arc<Host>, Place), BackendError> {
        // Whoever comes while one is being started gets a place in it.
        let mut hosts = limit.keep(async { Ok(self.hosts.lock().await) }).await?;
        hosts.retain(|host| host.strong_count() > 0);
        let free = hosts.iter().filter_map(Weak::upgrade).find_map(|host| host.place().map(|place| (host, place)));
        if let Some(free) = free {
            return Ok(free);
        }
        let (host, place) = self.host(limit, dir, self.config.places()).await?;
        if !host.handshake.can_close {
            host.agent.kill(limit.clock).await;
            return Err(BackendError::Unsupported(
                "close one session and keep others, so it needs `process = \"per-session\"`",
            ));
        }
        hosts.push(Arc::downgrade(&host));
        Ok((host, place))
    }

    /// Starts an agent and gets to know it.
    async fn launch(
        &self,
        limit: &Limit<'_>,
        dir: &Path,
        board: Arc<Board>,
    ) -> Result<(RunningAgent, Handshake), BackendError> {
        self.admission(limit).await?;
        let mut env = limit.keep(self.environment()).await?;
        let mark = uuid::Uuid::new_v4().to_string();
        env.insert(stray::MARK.to_owned(), mark.clone());
        let spawned = Process::spawn(&self.config.command, dir, &env)?;
        let agent = RunningAgent::launch(spawned, mark, board, &self.shared).await?;
        match limit.keep(greeting::introduce(&agent, &self.config, &env)).await {
            Ok(handshake) => Ok((agent, handshake)),
            Err(error) => {
                agent.kill(limit.clock).await;
                Err(error)
            }
        }
    }

    /// Waits until an agent may be started. After a crash that takes a moment.
    async fn admission(&self, limit: &Limit<'_>) -> Result<(), BackendError> {
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(BackendError::ShuttingDown);
            }
            let admission = self.shared.breaker().admit(limit.clock.now(), limit.deadline);
            match admission {
                Admission::Now => return Ok(()),
                Admission::Refused(error) => return Err(error),
                Admission::At(time) => {
                    self.shared.stop.run_until_cancelled(limit.clock.sleep_until(time)).await;
                }
            }
        }
    }

    fn limit(&self, deadline: Instant, phase: Phase) -> Limit<'_> {
        let clock = &self.shared.parts.clock;
        let after = deadline.saturating_duration_since(clock.now());
        Limit { clock, deadline, late: BackendError::Timeout { phase, after } }
    }

    async fn environment(&self) -> Result<BTreeMap<String, String>, BackendError> {
        let Acp { env, env_pass, env_file, .. } = &self.config;
        let peculiar = Quirks::of_command(&self.config.command).environment;
        Given { peculiar, env, env_pass, env_file: env_file.as_deref() }.environment(&self.shared.parts).await
    }
}

#[async_trait]
impl Backend for AcpBackend {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.open(None, &spec).await
    }

    async fn restore(&self, session: &BackendRef, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        if self.shared.is_ended(&session.0) {
            return Err(BackendError::Ended);
        }
        self.open(Some(session), &spec).await
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        let limit = self.limit(query.deadline, Phase::List);
        // It makes no session, so that what it says beside its answers is nobody's.
        let (agent, handshake) = self.launch(&limit, &query.working_dir, Arc::default()).await?;
        let greeting = Greeting { agent: &agent, handshake: &handshake };
        let listed = limit.keep(greeting.list(query.limit, |id| self.shared.is_ended(id))).await;
        agent.leave(query.deadline);
        if limit.clock.timeout_at(query.deadline, agent.gone()).await.is_err() {
            agent.kill(limit.clock).await;
        }
        listed
    }

    async fn shutdown(&self, deadline: Instant) {
        self.shared.stop.cancel();
        self.shared.agents.close();
        if self.shared.parts.clock.timeout_at(deadline, self.shared.agents.wait()).await.is_err() {
            tracing::warn!("An agent's process did not end in time");
        }
    }
}

/// Until when something must be done, and what is said when it is not.
struct Limit<'a> {
    clock: &'a Clock,
    deadline: Instant,
    late: BackendError,
}

impl Limit<'_> {
    async fn keep<T>(&self, doing: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        self.clock.timeout_at(self.deadline, doing).await.map_err(|_late| self.late.clone()).flatten()
    }
}

impl Shared {
    fn is_ended(&self, id: &str) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent has died without being asked to.
    fn crashed(&self, death: Death) {
        let exit = death.exit.clone();
        if self.breaker().crashed(self.parts.clock.now(), death) {
            tracing::warn!(agent.exit = exit, "An agent crashes again and again; none is started for a minute");
        }
    }

    /// An agent has completed a turn.
    fn worked(&self) {
        self.breaker().worked();
    }

    fn mark_ended(&self, id: &str) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }
}
