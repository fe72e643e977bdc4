//! What an agent says, as far as the way to the daemon depends on it.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// From this version on each request names its method in headers, too (MCP, "Streamable HTTP").
const WITH_HEADERS: &str = "2026-07-28";
/// Where such a request names its version.
const VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// One message of the agent.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    /// As it was written, without the line's end.
    pub(super) text: Vec<u8>,
    /// By what its answer is known; nothing when it wants none.
    pub(super) id: Option<Value>,
    content: Value,
}

impl Message {
    /// Reads a line; nothing when it is empty or no message.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let text = line.trim_ascii();
        let content: Value = serde_json::from_slice(text).ok().filter(Value::is_object)?;
        let id = content.get("id").filter(|id| !id.is_null() && content.get("method").is_some());
        Some(Self { text: text.to_vec(), id: id.cloned(), content })
    }

    /// The request that is not wanted any more, if that is what it says.
    pub(super) fn cancels(&self) -> Option<Value> {
        let cancels = self.method() == Some("notifications/cancelled");
        cancels.then(|| self.content.pointer("/params/requestId").cloned()).flatten()
    }

    /// Whether something is the answer to it. Nothing answers what wants no answer.
    pub(super) fn is_answered_by(&self, answer: &Value) -> bool {
        self.id.is_some() && answer.get("id") == self.id.as_ref() && answer.get("method").is_none()
    }

    /// An answer that says no; nothing when no answer is wanted.
    pub(super) fn refusal(&self, code: i32, message: &str) -> Option<Value> {
        let id = self.id.as_ref()?;
        Some(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))
    }

    fn method(&self) -> Option<&str> {
        self.content.get("method").and_then(Value::as_str)
    }

    fn text_at(&self, path: &str) -> Option<&str> {
        self.content.pointer(path).and_then(Value::as_str)
    }
}

/// The version of the protocol that was agreed on at the beginning.
#[derive(Debug, Default)]
pub(super) struct Version(Mutex<Option<String>>);

impl Version {
    /// Takes note of an answer to `initialize`.
    pub(super) fn learn(&self, asked: &Message, answer: &Value) {
        if asked.method() != Some("initialize") {
            return;
        }
        if let Some(version) = answer.pointer("/result/protocolVersion").and_then(Value::as_str) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.to_owned());
        }
    }

    fn agreed(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The headers by which the protocol repeats over HTTP what a message says.
pub(super) fn headers(message: &Message, version: &Version) -> Vec<(&'static str, String)> {
    let own = message.text_at(VERSION).map(ToOwned::to_owned);
    let Some(version) = own.or_else(|| version.agreed()).filter(|_| message.method() != Some("initialize")) else {
        return Vec::new();
    };
    let repeats = version.as_str() >= WITH_HEADERS;
    let mut headers = vec![("mcp-protocol-version", version)];
    if let Some(method) = message.method().filter(|_| repeats) {
        headers.push(("mcp-method", method.to_owned()));
        let name = message.text_at("/params/name").filter(|_| method == "tools/call");
        headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &Value) -> Message {
        Message::read(content.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn only_a_request_wants_an_answer() {
        let request = message(&json!({"jsonrpc": "2.0", "id": "a", "method": "ping"}));
        assert_eq!(request.id, Some(json!("a")));
        let refusal = request.refusal(-1, "no").unwrap();
        assert_eq!(refusal, json!({"jsonrpc": "2.0", "id": "a", "error": {"code": -1, "message": "no"}}));
        for content in [json!({"method": "notifications/initialized"}), json!({"id": 1, "result": {}})] {
            assert_eq!(message(&content).refusal(-1, "no"), None, "{content}");
        }
        for nothing in ["", "\n", "[]", "7", "{", "nonsense"] {
            assert_eq!(Message::read(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn an_answer_bears_the_id_of_its_request() {
        let request = message(&json!({"id": 1, "method": "ping"}));
        for (said, is_answer) in [
            (json!({"id": 1, "result": {}}), true),
            (json!({"id": 1, "error": {}}), true),
            (json!({"id": "1", "result": {}}), false),
            (json!({"id": null, "error": {}}), false),
            (json!({"id": 1, "method": "ping"}), false),
            (json!({"method": "notifications/progress"}), false),
        ] {
            assert_eq!(request.is_answered_by(&said), is_answer, "{said}");
        }
        assert!(!message(&json!({"method": "notifications/initialized"})).is_answered_by(&json!({})));
    }

    #[test]
    fn a_cancellation_names_its_request() {
        let cancelled = message(&json!({"method": "notifications/cancelled", "params": {"requestId": 7}}));
        assert_eq!(cancelled.cancels(), Some(json!(7)));
        assert_eq!(message(&json!({"method": "ping", "params": {"requestId": 7}})).cancels(), None);
    }

    #[test]
    fn each_version_gets_the_headers_that_it_wants() {
        let version = Version::default();
        let initialize =
            message(&json!({"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}));
        let call = message(&json!({"id": 1, "method": "tools/call", "params": {"name": "post"}}));
        assert!(headers(&initialize, &version).is_empty() && headers(&call, &version).is_empty());
        version.learn(&call, &json!({"result": {"protocolVersion": "x"}}));
        version.learn(&initialize, &json!({"result": {"protocolVersion": "2025-06-18"}}));
        assert_eq!(headers(&call, &version), [("mcp-protocol-version", "2025-06-18".to_owned())]);
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let newer = message(&json!({"id": 1, "method": "tools/call", "params": {"name": "post", "_meta": meta}}));
        let expected = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "post")];
        assert_eq!(headers(&newer, &version), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
