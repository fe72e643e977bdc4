//! What is said to an agent that has just been started, until it has a session, or has listed those that it knows.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::agent::RunningAgent;
use super::classify::{Asked, classify};
use super::connection::Failure;
use super::convert::text_of;
use super::tools::mcp_server;
use crate::backend::Listed;
use crate::backend::config::Acp;
use crate::backend::error::BackendError;
use crate::domain::agent::ToolAccess;
use crate::domain::session::BackendRef;

/// The version of the protocol that we speak, and the only one.
const VERSION: u64 = 1;

/// What an agent told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) can_close: bool,
    can_list: bool,
    /// The request that brings an earlier session back.
    brings_back: Option<&'static str>,
    /// Whether it speaks MCP over HTTP. Over standard streams every agent does.
    mcp_by_http: bool,
    /// The ways to sign in, by id.
    pub(super) auth_methods: Vec<String>,
}

/// The way to a session in an agent that has just been started.
pub(super) struct Greeting<'a> {
    pub(super) agent: &'a RunningAgent,
    pub(super) config: &'a Acp,
    /// What a session's agent gets beside its own tools.
    pub(super) tools: Option<&'a ToolAccess>,
}

impl Greeting<'_> {
    /// The id of the session that is made in `dir`, or brought back there, and what the agent can do.
    pub(super) async fn session(
        &self,
        earlier: Option<&BackendRef>,
        dir: &Path,
    ) -> Result<(String, Handshake), BackendError> {
        let handshake = self.introduction().await?;
        let id = match earlier {
            None => self.new_session(&handshake, dir).await?,
            Some(earlier) => self.bring_back(&handshake, earlier, dir).await?,
        };
        Ok((id, handshake))
    }

    /// The sessions that the agent knows, `limit` at the most and without those that are hidden, the newest first.
    pub(super) async fn list(&self, limit: usize, hidden: impl Fn(&str) -> bool) -> Result<Vec<Listed>, BackendError> {
        let handshake = self.introduction().await?;
        if !handshake.can_list {
            return Err(BackendError::Unsupported("list its sessions"));
        }
        let mut known = Vec::new();
        let mut params = json!({});
        while known.len() < limit {
            let page = self.ask(Asked::Start, "session/list", params, &handshake).await?;
            known.extend(listed(&page).filter(|listed| !hidden(&listed.backend_ref.0)));
            let Some(cursor) = text_of(&page, "nextCursor") else { break };
            params = json!({"cursor": cursor});
        }
        // Agents list in an order of their own; sessions without a time keep it, at the end.
        known.sort_by_key(|listed| Reverse(listed.updated_ms));
        known.truncate(limit);
        Ok(known)
    }

    async fn introduction(&self) -> Result<Handshake, BackendError> {
        let handshake = self.initialize().await?;
        self.authenticate(&handshake).await?;
        Ok(handshake)
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

    async fn new_session(&self, handshake: &Handshake, dir: &Path) -> Result<String, BackendError> {
        let params = json!({"cwd": dir, "mcpServers": self.mcp_servers(handshake)});
        let answer = self.ask(Asked::Start, "session/new", params, handshake).await?;
        let id = answer.get("sessionId").and_then(Value::as_str).filter(|id| !id.is_empty());
        id.map(ToOwned::to_owned).ok_or_else(|| BackendError::Protocol("its new session has no id".to_owned()))
    }

    async fn bring_back(
        &self,
        handshake: &Handshake,
        earlier: &BackendRef,
        dir: &Path,
    ) -> Result<String, BackendError> {
        let method = handshake.brings_back.ok_or(BackendError::Unsupported("bring back an earlier session"))?;
        let params = json!({"sessionId": earlier.0, "cwd": dir, "mcpServers": self.mcp_servers(handshake)});
        self.ask(Asked::Restore(&earlier.0), method, params, handshake).await?;
        Ok(earlier.0.clone())
    }

    fn mcp_servers(&self, handshake: &Handshake) -> Vec<Value> {
        self.tools.map(|tools| mcp_server(tools, handshake.mcp_by_http)).into_iter().collect()
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
    use super::*;

    #[test]
    fn an_object_and_true_are_a_capability_and_nothing_else_is() {
        let answer = json!({
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": true, "sessionCapabilities": {"close": {}, "resume": null, "list": {}},
                "mcpCapabilities": {"http": true, "sse": false}},
            "authMethods": [{"id": "a", "name": "A"}, {"type": "env_var", "id": "b"}, 7],
        });
        let expected = Handshake {
            can_close: true,
            can_list: true,
            brings_back: Some("session/load"),
            mcp_by_http: true,
            auth_methods: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(Handshake::read(&answer), expected);
        assert_eq!(Handshake::read(&json!({"agentCapabilities": {"loadSession": false}})), Handshake::default());
    }

    #[test]
    fn resuming_comes_before_loading() {
        let both = json!({"agentCapabilities": {"loadSession": true, "sessionCapabilities": {"resume": {}}}});
        assert_eq!(Handshake::read(&both).brings_back, Some("session/resume"));
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
