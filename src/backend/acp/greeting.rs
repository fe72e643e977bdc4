//! What is said to an agent that has just been started, until it has a session, or has listed those that it knows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::agent::RunningAgent;
use super::blocks::Accepts;
use super::board::{Board, Naming};
use super::classify::{Asked, classify};
use super::connection::Failure;
use super::convert::text_of;
use super::desk::Desk;
use super::quirks::Quirks;
use super::tools::mcp_server;
use crate::backend::Listed;
use crate::backend::config::Acp;
use crate::backend::error::BackendError;
use crate::domain::agent::ToolAccess;
use crate::domain::session::BackendRef;

/// The version of the protocol that we speak, and the only one.
const VERSION: u64 = 1;

/// What an agent told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) can_close: bool,
    can_list: bool,
    /// The request that brings an earlier session back.
    brings_back: Option<&'static str>,
    /// Whether it speaks MCP over HTTP. Over standard streams every agent does.
    mcp_by_http: bool,
    /// The ways to sign in, as people are told them: the id, and the variables for the key where we know them.
    pub(super) auth_methods: Vec<String>,
    /// What it takes in a prompt.
    pub(super) accepts: Accepts,
    /// What is peculiar to it.
    pub(super) quirks: &'static Quirks,
}

/// A session that is asked for.
#[derive(Debug)]
pub(super) struct Opening {
    /// The one to bring back; without it, a new one.
    pub(super) earlier: Option<BackendRef>,
    /// Where it works.
    pub(super) dir: PathBuf,
    /// What its agent gets beside its own tools.
    pub(super) tools: Option<ToolAccess>,
}

/// The way to a session in an agent that has just been started.
pub(super) struct Greeting<'a> {
    pub(super) agent: &'a RunningAgent,
    pub(super) handshake: &'a Handshake,
}

impl Greeting<'_> {
    /// The id of the session that is made, or brought back. What is said of it goes to `desk`.
    pub(super) async fn session(
        &self,
        opening: &Opening,
        board: &Arc<Board>,
        desk: &Arc<Desk>,
    ) -> Result<String, BackendError> {
        match &opening.earlier {
            None => self.new_session(opening, board, desk).await,
            Some(earlier) => {
                board.name(&earlier.0, desk);
                let brought_back = self.bring_back(earlier, opening, desk.clone()).await;
                brought_back.inspect_err(|_| board.forget(&earlier.0))
            }
        }
    }

    /// The sessions that the agent knows, `limit` at the most and without those that are hidden, the newest first.
    pub(super) async fn list(&self, limit: usize, hidden: impl Fn(&str) -> bool) -> Result<Vec<Listed>, BackendError> {
        if !self.handshake.can_list {
            return Err(BackendError::Unsupported("list its sessions"));
        }
        let mut known = Vec::new();
        let mut params = json!({});
        while known.len() < limit {
            let page = self.ask(Asked::Start, "session/list", params).await?;
            known.extend(listed(&page).filter(|listed| !hidden(&listed.backend_ref.0)));
            let Some(cursor) = text_of(&page, "nextCursor") else { break };
            params = json!({"cursor": cursor});
        }
        // Agents list in an order of their own; sessions without a time keep it, at the end.
        known.sort_by_key(|listed| Reverse(listed.updated_ms));
        known.truncate(limit);
        Ok(known)
    }

    async fn new_session(
        &self,
        opening: &Opening,
        board: &Arc<Board>,
        desk: &Arc<Desk>,
    ) -> Result<String, BackendError> {
        let params = json!({"cwd": opening.dir, "mcpServers": self.mcp_servers(opening)});
        board.expect(Some(desk.clone()));
        let naming = Arc::new(Naming { board: board.clone(), desk: desk.clone() });
        let answer = self.agent.connection().request_heard("session/new", params, naming).await;
        board.expect(None);
        let answer = self.result(Asked::Start, answer).await?;
        let id = answer.get("sessionId").and_then(Value::as_str).filter(|id| !id.is_empty());
        id.map(ToOwned::to_owned).ok_or_else(|| BackendError::Protocol("its new session has no id".to_owned()))
    }

    async fn bring_back(
        &self,
        earlier: &BackendRef,
        opening: &Opening,
        desk: Arc<Desk>,
    ) -> Result<String, BackendError> {
        let method = self.handshake.brings_back.ok_or(BackendError::Unsupported("bring back an earlier session"))?;
        let servers = self.mcp_servers(opening);
        let params = json!({"sessionId": earlier.0, "cwd": opening.dir, "mcpServers": servers});
        let answer = self.agent.connection().request_heard(method, params, desk).await;
        self.result(Asked::Restore(&earlier.0), answer).await?;
        Ok(earlier.0.clone())
    }

    fn mcp_servers(&self, opening: &Opening) -> Vec<Value> {
        opening.tools.as_ref().map(|tools| mcp_server(tools, self.handshake.mcp_by_http)).into_iter().collect()
    }

    async fn ask(&self, asked: Asked<'_>, method: &str, params: Value) -> Result<Value, BackendError> {
        self.result(asked, self.agent.connection().request(method, params).await).await
    }

    async fn result(&self, asked: Asked<'_>, answer: Result<Value, Failure>) -> Result<Value, BackendError> {
        result(self.agent, asked, answer, &self.handshake.auth_methods).await
    }
}

/// What an agent answered; `methods` are the ways to sign in that it named.
async fn result(
    agent: &RunningAgent,
    asked: Asked<'_>,
    answer: Result<Value, Failure>,
    methods: &[String],
) -> Result<Value, BackendError> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(Failure::Answered(error)) => Err(classify(asked, &error, methods)),
        Err(Failure::Closed) => Err(agent.gone().await),
    }
}

/// Gets to know an agent that has just been started with the variables `env`, and signs it in where it wants that.
pub(super) async fn introduce(
    agent: &RunningAgent,
    config: &Acp,
    env: &BTreeMap<String, String>,
) -> Result<Handshake, BackendError> {
    let handshake = initialize(agent, config).await?;
    let known = || handshake.quirks.sign_in.as_ref().filter(|sign_in| sign_in.asks_always && sign_in.has_key(env));
    let method = config.auth_method.as_deref().or_else(|| known().map(|sign_in| sign_in.method));
    if let Some(method) = method {
        let params = json!({"methodId": method});
        let answer = agent.connection().request("authenticate", params).await;
        result(agent, Asked::Start, answer, &handshake.auth_methods).await?;
    }
    Ok(handshake)
}

async fn initialize(agent: &RunningAgent, config: &Acp) -> Result<Handshake, BackendError> {
    // The agent uses its own tools for files and commands: offering ours would make us a remote shell.
    let params = json!({
        "protocolVersion": VERSION,
        "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
        "clientInfo": {"name": "hitchline", "title": "Hitchline", "version": env!("CARGO_PKG_VERSION")},
    });
    let answer = agent.connection().request("initialize", params).await;
    let answer = result(agent, Asked::Start, answer, &[]).await?;
    match answer.get("protocolVersion").and_then(Value::as_u64) {
        Some(VERSION) => Ok(Handshake::read(&answer, Quirks::of_agent(&answer, &config.command))),
        Some(other) => {
            Err(BackendError::Protocol(format!("it speaks version {other} of ACP, and Hitchline version {VERSION}")))
        }
        None => {
            Err(BackendError::Protocol("it names no version of ACP; is its command one that speaks ACP?".to_owned()))
        }
    }
}

impl Handshake {
    /// Reads an answer to `initialize`. A capability is there when it is `true` or an object.
    fn read(answer: &Value, quirks: &'static Quirks) -> Self {
        let capability =
            |path: &str| answer.pointer(path).is_some_and(|value| value.as_bool().unwrap_or(value.is_object()));
        let method = |method: &Value| text_of(method, "id").map(|id| quirks.way(id));
        let methods = answer.get("authMethods").and_then(Value::as_array);
        // Loading repeats the history before it is answered; no turn listens yet, so nobody hears it.
        let ways = [
            ("session/resume", "/agentCapabilities/sessionCapabilities/resume"),
            ("session/load", "/agentCapabilities/loadSession"),
        ];
        Self {
            can_close: capability("/agentCapabilities/sessionCapabilities/close"),
            can_list: capability("/agentCapabilities/sessionCapabilities/list"),
            mcp_by_http: capability("/agentCapabilities/mcpCapabilities/http"),
            brings_back: ways.iter().find(|(_, path)| capability(path)).map(|(method, _)| *method),
            auth_methods: methods.into_iter().flatten().filter_map(method).collect(),
            accepts: Accepts {
                images: capability("/agentCapabilities/promptCapabilities/image"),
                resources: capability("/agentCapabilities/promptCapabilities/embeddedContext"),
            },
            quirks,
        }
    }
}

/// The sessions of one page.
fn listed(page: &Value) -> impl Iterator<Item = Listed> {
    let session = |session: &Value| {
        let id = text_of(session, "sessionId").filter(|id| !id.is_empty())?;
        Some(Listed {
            backend_ref: BackendRef(id.to_owned()),
            working_dir: text_of(session, "cwd").map(PathBuf::from),
            title: text_of(session, "title").map(ToOwned::to_owned),
            updated_ms: text_of(session, "updatedAt").and_then(milliseconds),
        })
    };
    page.get("sessions").and_then(Value::as_array).into_iter().flatten().filter_map(session)
}

/// A time, as ISO 8601 writes it, in milliseconds since 1970.
fn milliseconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::super::quirks;
    use super::*;

    #[test]
    fn an_object_and_true_are_a_capability_and_nothing_else_is() {
        let answer = json!({
            "protocolVersion": 1,
            "agentCapabilities": {
                "loadSession": true,
                "sessionCapabilities": {"close": {}, "resume": null, "list": {}},
                "mcpCapabilities": {"http": true, "sse": false},
                "promptCapabilities": {"image": true, "embeddedContext": false},
            },
            "authMethods": [{"id": "a", "name": "A"}, {"type": "env_var", "id": "b"}, 7],
        });
        let expected = Handshake {
            can_close: true,
            can_list: true,
            brings_back: Some("session/load"),
            mcp_by_http: true,
            auth_methods: vec!["a".to_owned(), "b".to_owned()],
            accepts: Accepts { images: true, resources: false },
            quirks: &quirks::NONE,
        };
        assert_eq!(Handshake::read(&answer, &quirks::NONE), expected);
        let nothing = Handshake {
            can_close: false,
            can_list: false,
            brings_back: None,
            mcp_by_http: false,
            auth_methods: vec![],
            accepts: Accepts::default(),
            quirks: &quirks::NONE,
        };
        assert_eq!(Handshake::read(&json!({"agentCapabilities": {"loadSession": false}}), &quirks::NONE), nothing);
    }

    #[test]
    fn resuming_comes_before_loading() {
        let both = json!({"agentCapabilities": {"loadSession": true, "sessionCapabilities": {"resume": {}}}});
        assert_eq!(Handshake::read(&both, &quirks::NONE).brings_back, Some("session/resume"));
    }

    #[test]
    fn a_listed_session_has_at_least_an_id() {
        let page = json!({"sessions": [
            {"sessionId": "a", "cwd": "/w", "title": "About a", "updatedAt": "1970-01-01T00:00:01.5Z", "_meta": {}},
            {"sessionId": "b", "cwd": "/w", "title": null, "updatedAt": "1970-01-01T02:00:00+02:00"},
            {"sessionId": "c", "updatedAt": "yesterday"},
            {"sessionId": "", "cwd": "/w"}, {"cwd": "/w"}, 7,
        ]});
        let listed = |id: &str, dir: Option<&str>, title: Option<&str>, updated_ms| Listed {
            backend_ref: BackendRef(id.to_owned()),
            working_dir: dir.map(PathBuf::from),
            title: title.map(ToOwned::to_owned),
            updated_ms,
        };
        let expected = [
            listed("a", Some("/w"), Some("About a"), Some(1_500)),
            listed("b", Some("/w"), None, Some(0)),
            listed("c", None, None, None),
        ];
        assert_eq!(super::listed(&page).collect::<Vec<_>>(), expected);
        assert_eq!(super::listed(&Value::Null).count(), 0);
    }
}
