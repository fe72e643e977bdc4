//! What an agent's error answer means.

use serde_json::Value;

use crate::backend::error::BackendError;
use crate::secret::redact;

/// The most characters of an agent's error that are shown.
const LONGEST: usize = 500;
/// What ends a clause: beyond it, something else is spoken of.
const CLAUSE: [char; 6] = [':', ';', ',', '.', '!', '\n'];
/// What may stand before "session" when it is gone.
const GONE_BEFORE: [&[&str]; 3] = [&["unknown"], &["no", "such"], &["invalid"]];
/// What may stand behind it.
const GONE_AFTER: [&[&str]; 5] =
    [&["not", "found"], &["does", "not", "exist"], &["doesn", "t", "exist"], &["closed"], &["unknown"]];
/// What a provider or a network says.
const UPSTREAM_WORDS: [&str; 9] = ["429", "500", "502", "503", "504", "529", "overloaded", "timeout", "econnrefused"];
const UPSTREAM: [&str; 7] = [
    "timed out",
    "rate limit",
    "connection refused",
    "connection reset",
    "connection error",
    "econnreset",
    "enotfound",
];
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
        (INTERNAL, Asked::Restore) if is_upstream(error) => {
            BackendError::Transient(format!("the agent failed: {}", text(error)))
        }
        // Agents have no common way to say it: any other refusal to bring a session back means that it can't come back.
        (_, Asked::Restore) => BackendError::Unknown,
        (_, Asked::Prompt) if is_unknown_session(error) => BackendError::Unknown,
        (INVALID_PARAMS, Asked::Prompt) => BackendError::Rejected(text(error)),
        (METHOD_NOT_FOUND, _) => BackendError::Protocol(text(error)),
        _ => BackendError::Transient(format!("the agent failed: {}", text(error))),
    }
}

/// Whether an agent says that it does not know the session. Seen in four codes, in the message, in `data` or below it.
fn is_unknown_session(error: &RpcError) -> bool {
    match error.code {
        // A missing file has the same code.
        NOT_FOUND => !said(error).iter().any(|text| text.starts_with("file:")),
        INVALID_PARAMS | INTERNAL => said(error).iter().flat_map(|text| text.split(CLAUSE)).any(says_that_it_is_gone),
        _ => false,
    }
}

/// Whether a clause says of a session, and of nothing else, that it is not there: "unknown session", "session X not found".
fn says_that_it_is_gone(clause: &str) -> bool {
    let lower = clause.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).filter(|word| !word.is_empty()).collect();
    words.iter().enumerate().filter(|(_, word)| **word == "session").any(|(at, _)| {
        let before = &words[..at];
        let filler = |word: &&&str| matches!(**word, "id" | "with" | "was" | "is" | "has" | "been") || is_id(word);
        let after: Vec<&str> = words[at + 1..].iter().skip_while(filler).copied().collect();
        GONE_BEFORE.iter().any(|gone| before.ends_with(gone)) || GONE_AFTER.iter().any(|gone| after.starts_with(gone))
    })
}

/// Whether a word is an id rather than a word: ids hold digits.
fn is_id(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

/// Whether the failure lies behind the agent, with its model's provider or the network, so that it says nothing about a session.
fn is_upstream(error: &RpcError) -> bool {
    let said = said(error).join(" ").to_lowercase();
    let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric()).collect();
    UPSTREAM_WORDS.iter().any(|word| words.contains(word)) || UPSTREAM.iter().any(|phrase| said.contains(phrase))
}

/// Every text in an error: its message, and all in its data.
fn said(error: &RpcError) -> Vec<&str> {
    fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
            _ => {}
        }
    }
    let mut texts = vec![error.message.as_str()];
    error.data.iter().for_each(|data| collect(data, &mut texts));
    texts
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
            error(-32_002, "Session 01997a3c-5d not found", Value::Null),
            error(-32_602, "Session not found: X", Value::Null),
            error(-32_603, "Internal error", json!({"details": "Session not found: X"})),
            error(-32_603, "Internal error", json!({"details": "Session 9f86d081 not found"})),
            error(-32_603, "Internal error", json!({"details": "Session with id ses_75 does not exist"})),
            error(-32_603, "No such session", Value::Null),
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
        let model = error(-32_603, "unknown model x; see the session log", Value::Null);
        let save = error(-32_603, "Failed to save session: connection closed", Value::Null);
        let log = error(-32_603, "Internal error", json!({"details": "session file not found"}));
        for error in [file, llm, tool, odd, model, save, log] {
            let kind = classify(Asked::Prompt, &error, &[]);
            assert!(matches!(kind, BackendError::Transient(_)), "{error:?}: {kind:?}");
        }
        let option = error(-32_602, "session config option not found: x", Value::Null);
        assert!(matches!(classify(Asked::Prompt, &option, &[]), BackendError::Rejected(_)));
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
    fn a_provider_that_is_away_says_nothing_about_a_session() {
        let answers = [
            error(-32_603, "Internal error", json!({"details": "503 Service Unavailable"})),
            error(-32_603, "Overloaded", Value::Null),
            error(-32_603, "Internal error", json!({"details": "connect ECONNREFUSED 127.0.0.1:9"})),
            error(-32_603, "the request timed out", Value::Null),
        ];
        for error in answers {
            let kind = classify(Asked::Restore, &error, &[]);
            assert!(matches!(kind, BackendError::Transient(_)), "{error:?}: {kind:?}");
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
