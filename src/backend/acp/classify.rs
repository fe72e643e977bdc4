//! What an agent's error answer means.

use serde_json::Value;

use crate::backend::error::BackendError;
use crate::secret::redact;

/// The most characters of an agent's error that are shown.
const LONGEST: usize = 500;
/// How many bytes may lie between "session" and what is said of it.
const NEAR: usize = 100;
const AUTH_REQUIRED: i32 = -32_000;
const NOT_FOUND: i32 = -32_002;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;
const INTERNAL: i32 = -32_603;

/// An error answer, as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

/// What was asked when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To start: `initialize`, `authenticate`, `session/new`.
    Start,
    /// To bring a session back.
    Restore,
    /// A prompt.
    Prompt,
}

/// The kind of an error; whatever isn't known is transient. `methods` are the ways to sign in that the agent named.
pub(super) fn classify(asked: Asked, error: &RpcError, methods: &[String]) -> BackendError {
    match (error.code, asked) {
        (AUTH_REQUIRED, _) => BackendError::Auth(sign_in(error, methods)),
        // Agents have no common way to say it: any refusal to bring a session back means that it can't come back.
        (_, Asked::Restore) => BackendError::Unknown,
        (_, Asked::Prompt) if is_unknown_session(error) => BackendError::Unknown,
        (INVALID_PARAMS, Asked::Prompt) => BackendError::Rejected(text(error)),
        (METHOD_NOT_FOUND, _) => BackendError::Protocol(text(error)),
        _ => BackendError::Transient(format!("the agent failed: {}", text(error))),
    }
}

/// Whether an agent says that it does not know the session. Seen in four codes, in the message, in `data` or below it.
fn is_unknown_session(error: &RpcError) -> bool {
    const GONE: [&str; 5] = ["not found", "unknown", "no such", "does not exist", "closed"];
    let data = error.data.as_ref().map(Value::to_string).unwrap_or_default();
    if error.code == NOT_FOUND {
        // A missing file has the same code.
        return !data.contains("\"uri\":\"file:");
    }
    let said = format!("{} {data}", error.message).to_lowercase();
    let near = |at: usize, gone: &str| said.match_indices(gone).any(|(other, _)| at.abs_diff(other) < NEAR);
    let says_so = said.match_indices("session").any(|(at, _)| GONE.iter().any(|gone| near(at, gone)));
    matches!(error.code, INVALID_PARAMS | INTERNAL) && says_so
}

fn sign_in(error: &RpcError, methods: &[String]) -> String {
    if methods.is_empty() {
        return text(error);
    }
    format!("{}; it knows these ways, of which `auth_method` may name one: {}", text(error), methods.join(", "))
}

/// What the error says, with what its data adds, without secrets.
fn text(error: &RpcError) -> String {
    let details = match &error.data {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(data) => data.get("details").or_else(|| data.get("message")).and_then(Value::as_str),
        None => None,
    };
    let said = match details {
        Some(details) if !error.message.contains(details) => format!("{}: {details}", error.message),
        _ => error.message.clone(),
    };
    let mut said = redact(&said);
    if let Some((at, _)) = said.char_indices().nth(LONGEST) {
        said.truncate(at);
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(code: i32, message: &str, data: Value) -> RpcError {
        RpcError { code, message: message.to_owned(), data: (!data.is_null()).then_some(data) }
    }

    #[test]
    fn every_known_way_to_say_that_a_session_is_gone() {
        let unknown = [
            error(-32_002, "Resource not found", json!({"sessionId": "X"})),
            error(-32_002, "Session X not found", Value::Null),
            error(-32_602, "Invalid params: session not found: X", Value::Null),
            error(-32_602, "Session not found: X", Value::Null),
            error(-32_603, "Internal error", json!({"details": "Session not found: X"})),
            error(-32_603, "Internal error", json!({"details": "Session X not found"})),
            error(-32_602, "Invalid params", json!("unknown session `X`")),
            error(-32_603, "Internal error", json!({"details": "The session was closed"})),
        ];
        for error in unknown {
            assert_eq!(classify(Asked::Prompt, &error, &[]), BackendError::Unknown, "{error:?}");
        }
    }

    #[test]
    fn other_failures_of_a_prompt_keep_the_session() {
        let file = error(-32_002, "Resource not found", json!({"uri": "file:///a"}));
        let llm = error(-32_603, "Internal error: mock 401", json!({"errorName": "APIError"}));
        let tool = error(-32_603, "Internal error", json!({"details": "file not found"}));
        let odd = error(17, "session not found", Value::Null);
        for error in [file, llm, tool, odd] {
            let kind = classify(Asked::Prompt, &error, &[]);
            assert!(matches!(kind, BackendError::Transient(_)), "{error:?}: {kind:?}");
        }
        let refused = error(-32_602, "Invalid params", json!({"details": "too many blocks"}));
        assert_eq!(
            classify(Asked::Prompt, &refused, &[]),
            BackendError::Rejected("Invalid params: too many blocks".to_owned())
        );
    }

    #[test]
    fn a_session_that_is_not_brought_back_is_unknown_whatever_is_said() {
        let answers = [
            error(-32_603, "Internal error", json!({"details": "--resume requires a valid session ID"})),
            error(-32_603, "invalid session id", Value::Null),
            error(-32_603, "OpenCode service failure", Value::Null),
            error(-32_002, "Resource not found", json!({"uri": "session:X"})),
            error(-32_601, "Method not found", Value::Null),
        ];
        for error in answers {
            assert_eq!(classify(Asked::Restore, &error, &[]), BackendError::Unknown, "{error:?}");
        }
    }

    #[test]
    fn a_missing_sign_in_names_the_ways_and_no_secret() {
        let error = error(-32_000, "Authentication required", json!("Bearer abc"));
        for asked in [Asked::Start, Asked::Restore, Asked::Prompt] {
            let BackendError::Auth(said) = classify(asked, &error, &["gemini-api-key".to_owned()]) else {
                panic!("another kind");
            };
            assert!(said.contains("gemini-api-key") && !said.contains("abc"), "{said}");
        }
    }
}
