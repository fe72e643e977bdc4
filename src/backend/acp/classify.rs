//! What an agent's error answer means.

use serde_json::Value;

use crate::backend::error::BackendError;
use crate::secret::redact;

/// The most characters of an agent's error that are shown.
const LONGEST: usize = 500;
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
pub(super) enum Asked<'a> {
    /// To start: `initialize`, `authenticate`, `session/new`; or for the list of all sessions.
    Start,
    /// To bring back the session with this id.
    Restore(&'a str),
    /// A prompt, in the session with this id.
    Prompt(&'a str),
    /// To set an option, in the session with this id.
    Option(&'a str),
}

/// The kind of an error; whatever isn't known is transient. `methods` are the ways to sign in that the agent named.
pub(super) fn classify(asked: Asked<'_>, error: &RpcError, methods: &[String]) -> BackendError {
    match (error.code, asked) {
        (AUTH_REQUIRED, _) => BackendError::Auth(sign_in(error, methods)),
        (_, Asked::Restore(id)) if is_of_a_service(error, id) && !is_unknown_session(error, id) => failed(error),
        // Agents have no common way to say it: any other refusal to bring a session back means that it can't come back.
        (_, Asked::Restore(_)) => BackendError::Unknown,
        (_, Asked::Prompt(id) | Asked::Option(id)) if is_unknown_session(error, id) => BackendError::Unknown,
        (INVALID_PARAMS, Asked::Prompt(_)) | (INVALID_PARAMS | METHOD_NOT_FOUND, Asked::Option(_)) => {
            BackendError::Rejected(text(error))
        }
        (METHOD_NOT_FOUND, _) => BackendError::Protocol(text(error)),
        _ => failed(error),
    }
}

fn failed(error: &RpcError) -> BackendError {
    BackendError::Transient(format!("the agent failed: {}", text(error)))
}

/// Whether an agent says that it does not know the session. Seen in three codes, in the message, in `data` or below it.
fn is_unknown_session(error: &RpcError, id: &str) -> bool {
    match error.code {
        NOT_FOUND => !is_file(error),
        INVALID_PARAMS | INTERNAL => clauses(error, id).iter().any(|clause| says_gone(clause)),
        _ => false,
    }
}

/// Whether an error is about a file; a missing one has the same code as a missing session.
fn is_file(error: &RpcError) -> bool {
    let uri = error.data.as_ref().and_then(|data| data.get("uri")).and_then(Value::as_str);
    uri.is_some_and(|uri| uri.starts_with("file:"))
}

/// Whether a clause says of the session itself that it is gone. One that only speaks of a session says nothing: a wrong "yes" would
/// cost a person the session, a wrong "no" costs a message that fails once more.
fn says_gone(clause: &[String]) -> bool {
    const FILLERS: [&str; 9] = ["the", "this", "with", "id", "is", "was", "has", "been", "already"];
    let words: Vec<&str> = clause.iter().map(String::as_str).filter(|word| !FILLERS.contains(word)).collect();
    matches!(
        words.as_slice(),
        ["session", "not", "found", ..]
            | ["session", "does", "not", "exist", ..]
            | ["session", "doesn", "t", "exist", ..]
            | ["session", "unknown" | "closed"]
            | ["unknown", "session"]
            | ["no", "such", "session"]
    )
}

/// Whether an internal error is clearly that of a service behind the agent.
fn is_of_a_service(error: &RpcError, id: &str) -> bool {
    const WORDS: [&str; 12] = [
        "429",
        "500",
        "502",
        "503",
        "504",
        "529",
        "overloaded",
        "timeout",
        "econnrefused",
        "econnreset",
        "etimedout",
        "enotfound",
    ];
    const PAIRS: [[&str; 2]; 6] = [
        ["timed", "out"],
        ["rate", "limit"],
        ["service", "unavailable"],
        ["connection", "refused"],
        ["connection", "reset"],
        ["connection", "error"],
    ];
    error.code == INTERNAL
        && clauses(error, id).iter().any(|words| {
            words.iter().any(|word| WORDS.contains(&word.as_str()))
                || words.windows(2).any(|pair| PAIRS.iter().any(|known| known == pair))
        })
}

/// All that an error says, in small letters, as clauses of words, without the session's id.
fn clauses(error: &RpcError, id: &str) -> Vec<Vec<String>> {
    let mut said = vec![error.message.clone()];
    collect(error.data.as_ref().unwrap_or(&Value::Null), &mut said);
    said.iter().flat_map(|text| clauses_of(text, id)).collect()
}

fn clauses_of(text: &str, id: &str) -> Vec<Vec<String>> {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let id = bare(id);
    let is_id = |word: &str| !id.is_empty() && bare(word) == id;
    let words: Vec<&str> = text.split_whitespace().filter(|word| !is_id(word)).collect();
    let text = words.join(" ").to_lowercase();
    let inside = |c: char| c.is_alphanumeric() || " _-'`".contains(c);
    let words = |clause: &str| {
        clause.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    text.split(|c| !inside(c)).map(words).collect()
}

/// The texts and numbers in `data`, however deep.
fn collect(data: &Value, said: &mut Vec<String>) {
    match data {
        Value::String(text) => said.push(text.clone()),
        Value::Number(number) => said.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, said)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, said)),
        Value::Null | Value::Bool(_) => {}
    }
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
    shown(&said)
}

/// What an agent says of an error, without secrets and not too long.
pub(super) fn shown(said: &str) -> String {
    let mut said = redact(said);
    if let Some((at, _)) = said.char_indices().nth(LONGEST) {
        said.truncate(at);
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests;
