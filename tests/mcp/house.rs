//! An endpoint on a free port, and requests as plain as they get.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hitchline::clock::Clock;
use hitchline::domain::agent::ToolAccess;
use hitchline::domain::ids::SessionId;
use hitchline::domain::ports::{Grant, Toolbox};
use hitchline::mcp::{Mcp, Parts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An endpoint without sessions to call tools for.
pub(crate) struct House {
    pub(crate) address: String,
    pub(crate) toolbox: Arc<dyn Toolbox>,
    _serving: JoinSet<()>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl House {
    pub(crate) async fn open(sessions: bool, idle: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let parts = Parts {
            address,
            sessions,
            idle,
            program: "/bin/hitchline".into(),
            clock: Clock::system(),
            close: CancellationToken::new(),
        };
        let mcp = Mcp::new(parts);
        let (toolbox, routes) = (mcp.toolbox(), mcp.routes());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address: address.to_string(), toolbox, _serving: serving }
    }

    pub(crate) fn grant(&self) -> Grant {
        self.toolbox.grant(SessionId::new())
    }

    /// A request with the headers that every client sends, and more.
    pub(crate) async fn post(&self, token: &str, more: &[(&str, &str)], body: &Value) -> Answer {
        self.request("POST", "/mcp", &with(token, more), &body.to_string()).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(String, String)], body: &str) -> Answer {
        tokio::time::timeout(PATIENCE, self.exchange(method, path, headers, body)).await.expect("an answer in time")
    }

    async fn exchange(&self, method: &str, path: &str, headers: &[(String, String)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let own = !headers.iter().any(|(name, _)| name == "Host");
        let host = if own { format!("Host: {}\r\n", self.address) } else { String::new() };
        let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // One that refuses early may not read all of it.
        let _refused_early = stream.write_all(body.as_bytes()).await;
        let mut answer = Vec::new();
        let _reset_after_the_answer = stream.read_to_end(&mut answer).await;
        read(&String::from_utf8_lossy(&answer))
    }
}

/// The headers that every client sends, and more.
pub(crate) fn with(token: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let bearer = format!("Bearer {token}");
    let own = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Answer { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

impl Answer {
    /// The message in it, whether it came as such or as an event.
    pub(crate) fn message(&self) -> Value {
        let json = self
            .body
            .lines()
            .map(|line| line.strip_prefix("data: ").unwrap_or(line))
            .find(|line| line.starts_with('{'));
        serde_json::from_str(json.unwrap_or_else(|| panic!("no message: {self:?}"))).unwrap()
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.headers.get("mcp-session-id").map(String::as_str)
    }
}

pub(crate) fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

pub(crate) fn initialize(version: &str) -> Value {
    let client = json!({"name": "test", "version": "1"});
    request("initialize", &json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client}))
}

pub(crate) fn initialized() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}

pub(crate) fn list() -> Value {
    request("tools/list", &json!({}))
}

/// A call as clients of the newest version make it.
pub(crate) fn with_meta(method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request(method, &params)
}

/// The names of the tools in an answer.
pub(crate) fn names(answer: &Answer) -> Vec<String> {
    let message = answer.message();
    let tools = message["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// What the agent is told of an access.
pub(crate) fn token(grant: &Grant) -> &str {
    let ToolAccess { token, .. } = &grant.access;
    token
}
