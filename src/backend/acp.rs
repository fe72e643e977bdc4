//! Agents that speak the Agent Client Protocol, version 1, over their standard streams: one process for each session.
//!
//! A session is an agent's process with a connection to it (`agent`), the session that was made over the connection (`session`),
//! and the turn that runs in it (`turn`). Only `connection` knows the protocol's crate.

mod agent;
mod classify;
mod connection;
mod convert;
mod environment;
mod gate;
mod process;
mod session;
mod stray;
mod turn;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::agent::RunningAgent;
use self::classify::{Asked, classify};
use self::connection::Failure;
use self::process::Process;
use self::session::{AcpSession, Desk};
use super::config::Acp;
use super::error::{BackendError, Phase};
use super::{Backend, BackendParts, ListQuery, Listed, Session, StartSpec};
use crate::domain::session::BackendRef;

/// The version of the protocol that we speak, and the only one.
const VERSION: u64 = 1;

/// Agents that speak ACP, as configured under one name.
#[derive(Debug)]
pub struct AcpBackend {
    config: Acp,
    shared: Arc<Shared>,
}

/// Kills what an earlier run of the daemon left behind, wherever it is. Returns how many processes it found. Blocks for a few milliseconds.
pub fn kill_leftovers(run_id: &str) -> usize {
    stray::kill(environment::RUN_ID, run_id)
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    parts: BackendParts,
    /// The sessions that were ended, by the agent's ids. They are never brought back, although the agent could.
    ended: Mutex<HashSet<String>>,
    /// Cancelled when every agent must go.
    stop: CancellationToken,
    /// The agents that run.
    agents: TaskTracker,
}

/// What an agent told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Handshake {
    can_close: bool,
    can_resume: bool,
    can_load: bool,
    /// The ways to sign in, by id.
    auth_methods: Vec<String>,
}

impl AcpBackend {
    /// A backend without sessions. It starts nothing yet.
    pub fn new(config: Acp, parts: &BackendParts) -> Self {
        let shared = Shared {
            parts: parts.clone(),
            ended: Mutex::default(),
            stop: CancellationToken::new(),
            agents: TaskTracker::new(),
        };
        Self { config, shared: Arc::new(shared) }
    }

    /// Starts an agent and makes, or brings back, a session in it, all by the deadline. Whatever goes wrong, no process is left
    /// when it is said; only whoever drops this does not wait for that.
    async fn open(&self, earlier: Option<&BackendRef>, spec: &StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        if self.shared.stop.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        let clock = &self.shared.parts.clock;
        let after = spec.deadline.saturating_duration_since(clock.now());
        let late = |_| BackendError::Timeout { phase: Phase::Create, after };
        let env = clock.timeout_at(spec.deadline, self.environment()).await.map_err(late)??;
        let desk = Arc::new(Desk::default());
        let agent = self.launch(env, spec, desk.clone()).await?;
        let greeting = Greeting { agent: &agent, config: &self.config };
        let made = clock.timeout_at(spec.deadline, greeting.session(earlier, spec)).await;
        match made.map_err(late).flatten() {
            Ok((id, handshake)) => Ok(Arc::new(AcpSession::new(id, agent, handshake, desk, self.shared.clone()))),
            Err(error) => {
                agent.kill(clock).await;
                Err(error)
            }
        }
    }

    async fn launch(
        &self,
        mut env: BTreeMap<String, String>,
        spec: &StartSpec,
        desk: Arc<Desk>,
    ) -> Result<RunningAgent, BackendError> {
        let mark = uuid::Uuid::new_v4().to_string();
        env.insert(stray::MARK.to_owned(), mark.clone());
        let spawned = Process::spawn(&self.config.command, &spec.working_dir, &env)?;
        RunningAgent::launch(spawned, mark, desk, &self.shared).await
    }

    async fn environment(&self) -> Result<BTreeMap<String, String>, BackendError> {
        let file = match &self.config.env_file {
            Some(path) => environment::read_file(path).await?,
            None => BTreeMap::new(),
        };
        let parts = &self.shared.parts;
        Ok(environment::build(&parts.environment, &self.config, file, &parts.run_id))
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

    async fn list(&self, _query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        Err(BackendError::Unsupported("list its sessions"))
    }

    async fn shutdown(&self, deadline: Instant) {
        self.shared.stop.cancel();
        self.shared.agents.close();
        if self.shared.parts.clock.timeout_at(deadline, self.shared.agents.wait()).await.is_err() {
            tracing::warn!("An agent's process did not end in time");
        }
    }
}

impl Shared {
    fn is_ended(&self, id: &str) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn mark_ended(&self, id: &str) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }
}

/// The way to a session in an agent that has just been started.
struct Greeting<'a> {
    agent: &'a RunningAgent,
    config: &'a Acp,
}

impl Greeting<'_> {
    /// The id of the session that is made, or brought back, and what the agent can do.
    async fn session(
        &self,
        earlier: Option<&BackendRef>,
        spec: &StartSpec,
    ) -> Result<(String, Handshake), BackendError> {
        let handshake = self.initialize().await?;
        self.authenticate(&handshake).await?;
        let id = match earlier {
            None => self.new_session(&handshake, spec).await?,
            Some(earlier) => self.bring_back(&handshake, earlier, spec).await?,
        };
        Ok((id, handshake))
    }

    async fn initialize(&self) -> Result<Handshake, BackendError> {
        // The agent uses its own tools for files and commands: offering ours would make us a remote shell.
        let params = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
            "clientInfo": {"name": "hitchline", "title": "Hitchline", "version": env!("CARGO_PKG_VERSION")},
        });
        let answer = self.ask(Asked::Start, "initialize", params, &Handshake::default()).await?;
        match answer.get("protocolVersion").and_then(Value::as_u64) {
            Some(VERSION) => Ok(Handshake::read(&answer)),
            Some(other) => Err(BackendError::Protocol(format!(
                "it speaks version {other} of ACP, and Hitchline version {VERSION}"
            ))),
            None => Err(BackendError::Protocol(
                "it names no version of ACP; is its command one that speaks ACP?".to_owned(),
            )),
        }
    }

    async fn authenticate(&self, handshake: &Handshake) -> Result<(), BackendError> {
        let Some(method) = &self.config.auth_method else { return Ok(()) };
        self.ask(Asked::Start, "authenticate", json!({"methodId": method}), handshake).await.map(drop)
    }

    async fn new_session(&self, handshake: &Handshake, spec: &StartSpec) -> Result<String, BackendError> {
        let params = json!({"cwd": spec.working_dir, "mcpServers": []});
        let answer = self.ask(Asked::Start, "session/new", params, handshake).await?;
        let id = answer.get("sessionId").and_then(Value::as_str).filter(|id| !id.is_empty());
        id.map(ToOwned::to_owned).ok_or_else(|| BackendError::Protocol("its new session has no id".to_owned()))
    }

    async fn bring_back(
        &self,
        handshake: &Handshake,
        earlier: &BackendRef,
        spec: &StartSpec,
    ) -> Result<String, BackendError> {
        // Loading repeats the history before it is answered; no turn listens yet, so nobody hears it.
        let method = match handshake {
            Handshake { can_resume: true, .. } => "session/resume",
            Handshake { can_load: true, .. } => "session/load",
            _ => return Err(BackendError::Unsupported("bring back an earlier session")),
        };
        let params = json!({"sessionId": earlier.0, "cwd": spec.working_dir, "mcpServers": []});
        self.ask(Asked::Restore(&earlier.0), method, params, handshake).await?;
        Ok(earlier.0.clone())
    }

    async fn ask(
        &self,
        asked: Asked<'_>,
        method: &str,
        params: Value,
        handshake: &Handshake,
    ) -> Result<Value, BackendError> {
        match self.agent.connection().request(method, params).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Answered(error)) => Err(classify(asked, &error, &handshake.auth_methods)),
            Err(Failure::Closed) => Err(self.agent.gone().await),
        }
    }
}

impl Handshake {
    /// Reads an answer to `initialize`. A capability is there when it is `true` or an object.
    fn read(answer: &Value) -> Self {
        let capability =
            |path: &str| answer.pointer(path).is_some_and(|value| value.as_bool().unwrap_or(value.is_object()));
        let method = |method: &Value| method.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
        let methods = answer.get("authMethods").and_then(Value::as_array);
        Self {
            can_close: capability("/agentCapabilities/sessionCapabilities/close"),
            can_resume: capability("/agentCapabilities/sessionCapabilities/resume"),
            can_load: capability("/agentCapabilities/loadSession"),
            auth_methods: methods.into_iter().flatten().filter_map(method).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_and_true_are_a_capability_and_nothing_else_is() {
        let answer = json!({
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": true, "sessionCapabilities": {"close": {}, "resume": null}},
            "authMethods": [{"id": "a", "name": "A"}, {"type": "env_var", "id": "b"}, 7],
        });
        let auth_methods = vec!["a".to_owned(), "b".to_owned()];
        let expected = Handshake { can_close: true, can_resume: false, can_load: true, auth_methods };
        assert_eq!(Handshake::read(&answer), expected);
        assert_eq!(Handshake::read(&json!({"agentCapabilities": {"loadSession": false}})), Handshake::default());
    }
}
